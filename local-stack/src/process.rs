//! One child process: started so that it cannot outlive us, signalled without races, and waited for.
//!
//! Nothing here depends on a tokio runtime staying alive: a server started inside one test can be
//! used, and stopped, by another test with a runtime of its own.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use tokio::sync::watch;

/// A running child and, behind it, whatever it started itself.
///
/// Dropping it kills the whole tree with SIGKILL.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// True once the pid has been given back to the system. Signals are sent under this lock, so
    /// that none can ever hit a stranger that was given the same number.
    reaped: Mutex<bool>,
    ended: watch::Sender<Option<ExitStatus>>,
}

/// Which process group a child joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// A group of its own: Ctrl-C in a terminal is ours to pass on, in the right order.
    Own,
    /// Our group: it may read the terminal, and hears Ctrl-C itself.
    Ours,
}

/// A request to the spawner thread.
struct Job {
    command: Command,
    reply: SyncSender<std::io::Result<Child>>,
}

/// The thread that starts every child. The kernel sends the parent-death signal when the *thread*
/// that forked is gone, so a worker of a runtime, which ends with its test, must not be that thread.
static SPAWNER: LazyLock<SyncSender<Job>> = LazyLock::new(|| {
    let (jobs, inbox) = sync_channel::<Job>(16);
    std::thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            for mut job in inbox {
                // The asker waits for the reply; where it has gone, dropping the child is right.
                job.reply.send(job.command.spawn()).ok();
            }
        })
        .expect("a thread can be started");
    jobs
});

impl Process {
    /// Starts `command`. The kernel sends it `orphaned` when this program is gone, however it went.
    ///
    /// # Errors
    /// The program is missing or may not be run.
    pub fn spawn(mut command: Command, orphaned: Signal, group: Group) -> Result<Self> {
        if group == Group::Own {
            command.process_group(0);
        }
        tie_to_parent(&mut command, orphaned);
        let program = command.get_program().to_string_lossy().into_owned();
        let (reply, answer) = sync_channel(1);
        SPAWNER.send(Job { command, reply }).map_err(|_| anyhow!("the spawner thread is gone"))?;
        let child =
            answer.recv().context("the spawner thread is gone")?.with_context(|| format!("cannot start {program}"))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).context("pid out of range")?);
        let state = Arc::new(State { reaped: Mutex::new(false), ended: watch::Sender::new(None) });
        let theirs = Arc::clone(&state);
        std::thread::Builder::new()
            .name(format!("wait-{pid}"))
            .spawn(move || reap(child, pid, &theirs))
            .context("cannot start a thread")?;
        Ok(Self { pid, state })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended, or `None` while it runs.
    #[must_use]
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.state.ended.borrow()
    }

    /// Waits for the end.
    ///
    /// # Cancel safety
    /// Nothing is lost when another branch wins; ask again.
    pub async fn wait(&self) -> ExitStatus {
        let mut ended = self.state.ended.subscribe();
        let status = ended.wait_for(Option::is_some).await;
        status.ok().and_then(|status| *status).expect("the sender lives in `self`, and `Some` was waited for")
    }

    /// Sends one signal; false when the process has ended already.
    pub fn signal(&self, signal: Signal) -> bool {
        self.while_alive(|pid| kill(pid, signal).is_ok())
    }

    /// Asks it to end with `signal`, and kills the tree when it takes longer than `patience`.
    pub async fn stop(&self, signal: Signal, patience: Duration) -> ExitStatus {
        self.resume();
        self.signal(signal);
        match tokio::time::timeout(patience, self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// `kill -9` for the process and everything below it, and waits until they are gone.
    pub async fn kill(&self) -> ExitStatus {
        self.kill_now();
        self.wait().await
    }

    /// Freezes the process and everything below it: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.for_tree(Signal::SIGSTOP);
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.for_tree(Signal::SIGCONT);
    }

    /// Kills without waiting. While the parent is frozen its dead children stay zombies, so their
    /// numbers cannot be given to anybody else before the last signal is sent.
    fn kill_now(&self) {
        self.while_alive(|root| {
            kill(root, Signal::SIGSTOP).ok();
            for pid in descendants(root) {
                kill(pid, Signal::SIGKILL).ok();
            }
            kill(root, Signal::SIGKILL).is_ok()
        });
    }

    fn for_tree(&self, signal: Signal) {
        self.while_alive(|root| {
            // Freeze the root first and thaw it last: what does not run starts no more children.
            let below = |()| {
                for pid in descendants(root) {
                    kill(pid, signal).ok();
                }
            };
            if signal == Signal::SIGSTOP {
                kill(root, signal).ok();
                below(());
            } else {
                below(());
                kill(root, signal).ok();
            }
            true
        });
    }

    fn while_alive(&self, act: impl FnOnce(Pid) -> bool) -> bool {
        let reaped = self.state.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        !*reaped && act(self.pid)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_now();
    }
}

/// Waits for the end of `child` and publishes it.
fn reap(mut child: Child, pid: Pid, state: &State) {
    wait_without_reaping(pid);
    let mut reaped = state.reaped.lock().unwrap_or_else(PoisonError::into_inner);
    let status = child.wait().unwrap_or_default();
    *reaped = true;
    drop(reaped);
    state.ended.send_replace(Some(status));
}

/// Returns when the process has ended; its number stays taken until `Child::wait` is called.
#[cfg(target_os = "linux")]
fn wait_without_reaping(pid: Pid) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
}

#[cfg(not(target_os = "linux"))]
fn wait_without_reaping(pid: Pid) {
    #[allow(clippy::disallowed_methods, reason = "a thread of its own, not a runtime worker")]
    while kill(pid, None) != Err(Errno::ESRCH) && !is_zombie(pid) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(not(target_os = "linux"))]
fn is_zombie(pid: Pid) -> bool {
    let state = Command::new("ps").args(["-o", "state=", "-p", &pid.to_string()]).output();
    state.is_ok_and(|out| out.stdout.starts_with(b"Z"))
}

/// Makes the kernel signal the child when its parent is gone. Other systems than Linux have no such
/// thing: there a killed parent leaves its children behind.
#[cfg(target_os = "linux")]
fn tie_to_parent(command: &mut Command, orphaned: Signal) {
    let parent = getpid();
    let tie = move || {
        nix::sys::prctl::set_pdeathsig(orphaned)?;
        // The parent may have died between the fork and the line above.
        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    #[expect(unsafe_code, reason = "runs between fork and exec: two plain system calls, no allocation, no lock")]
    unsafe {
        command.pre_exec(tie);
    }
}

#[cfg(not(target_os = "linux"))]
fn tie_to_parent(_: &mut Command, _: Signal) {}

/// Makes this program the parent of whatever its children leave behind, so that [`end_strays`] finds it.
/// Linux only; elsewhere it does nothing.
pub fn adopt_strays() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        eprintln!("processes that a command leaves behind will not be ended: {error}");
    }
}

/// Kills every process that still descends from this one: the last act of a supervisor.
pub fn end_strays() {
    for pid in descendants(getpid()) {
        kill(pid, Signal::SIGKILL).ok();
    }
}

/// Every process below `root`, parents first.
fn descendants(root: Pid) -> Vec<Pid> {
    let pairs = parents();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// (pid, parent) of every process of this machine, from `/proc`; empty where there is none.
fn parents() -> Vec<(Pid, Pid)> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // "pid (any name, even with brackets) state parent …"
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((Pid::from_raw(pid), Pid::from_raw(parent)))
        })
        .collect()
}

//! Processor time, which says more than the clock does where other programs share the machine.

use std::collections::BTreeMap;
use std::fs;

/// Seconds of processor time (user and system) that the programs below this one have used, by name, with those of children that have ended.
pub(crate) struct Cpu(BTreeMap<String, f64>);

/// Ticks a second in `/proc`, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/<pid>/stat` says.
struct Process {
    parent: u32,
    name: String,
    ticks: f64,
}

impl Cpu {
    /// As of now.
    pub(crate) fn now() -> Self {
        let pids = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, read(pid)?))
        });
        let processes: BTreeMap<u32, Process> = pids.collect();
        let is_ours = |mut pid: u32| loop {
            match processes.get(&pid) {
                _ if pid == std::process::id() => break true,
                Some(process) => pid = process.parent,
                None => break false,
            }
        };
        let mut seconds = BTreeMap::new();
        for (_, process) in processes.iter().filter(|(pid, _)| is_ours(**pid)) {
            *seconds.entry(process.name.clone()).or_default() += process.ticks / TICKS_PER_SECOND;
        }
        Self(seconds)
    }

    /// Microseconds a row that the program `name` has used since `before`.
    pub(crate) fn micros_a_row(&self, before: &Self, name: &str, rows: f64) -> f64 {
        self.seconds_since(before, name) * 1e6 / rows
    }

    /// Seconds of processor time that the program `name` has used since `before`. The kernel keeps 15 letters of a name.
    pub(crate) fn seconds_since(&self, before: &Self, name: &str) -> f64 {
        let name = name.get(..15).unwrap_or(name);
        let of = |cpu: &Self| cpu.0.get(name).copied().unwrap_or_default();
        of(self) - of(before)
    }
}

fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?; // the name may hold anything
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
    // user, system, and the same of children that were waited for
    let ticks = (11..15).filter_map(number).sum();
    Some(Process { parent: fields.get(1)?.parse().ok()?, name, ticks })
}

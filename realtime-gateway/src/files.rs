//! How many connections the process can hold: each costs a file, and the system limits files.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files for everything else: Redis, the history API, the page, logs.
const OTHERS: usize = 128;
/// Fewest connections with which it makes sense to start.
const CONNECTIONS_MIN: usize = 16;

/// How the files of the process are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// Connections that are served.
    pub connections_max: usize,
    /// Connections beyond the limit that are refused with an answer.
    pub refusals_max: usize,
}

impl Files {
    /// Raises the soft limit as far as the system lets us and divides it.
    ///
    /// # Errors
    /// When the limit leaves no room for clients.
    pub fn claim() -> Result<Self, String> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
        let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
        let limit = usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX);
        Self::divide(limit).ok_or_else(|| {
            format!("this process may open only {limit} files, which leaves no room for clients; raise the limit (`ulimit -n`, LimitNOFILE=)")
        })
    }

    fn divide(limit: usize) -> Option<Self> {
        let refusals_max = (limit / 8).clamp(16, 4_096);
        let connections_max = limit.checked_sub(OTHERS + refusals_max)?;
        (connections_max >= CONNECTIONS_MIN).then_some(Self { connections_max, refusals_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_everything_else_fit_into_the_limit() {
        for limit in [300, 1_024, 20_000, 1 << 20] {
            let files = Files::divide(limit).unwrap();
            assert_eq!(files.connections_max + files.refusals_max + OTHERS, limit);
        }
        assert_eq!(Files::divide(100), None);
        assert_eq!(Files::divide(150), None);
    }
}

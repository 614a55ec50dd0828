//! What the kernel says of this process and this machine, read from `/proc`.

use std::fs;

/// Bit of `CAP_IPC_LOCK` in a capability set: with it, `RLIMIT_MEMLOCK` does not count.
const CAP_IPC_LOCK: u32 = 14;

/// A resource limit of this process; `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimit {
    /// What counts now.
    pub soft: u64,
    /// What it can be raised to.
    pub hard: u64,
}

/// Limits and settings; `None` where they cannot be read.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// `RLIMIT_NOFILE`, in descriptors.
    pub nofile: Option<ProcessLimit>,
    /// `RLIMIT_MEMLOCK`, in bytes.
    pub memlock: Option<ProcessLimit>,
    /// Whether locked memory is unbounded for this process.
    pub may_lock_memory: bool,
    /// `net.core.somaxconn`
    pub somaxconn: Option<u64>,
    /// `fs.file-max`
    pub file_max: Option<u64>,
    /// `fs.nr_open`
    pub nr_open: Option<u64>,
    /// `vm.max_map_count`
    pub max_map_count: Option<u64>,
    /// `kernel.io_uring_disabled`; kernels before 6.6 have none.
    pub io_uring_disabled: Option<u64>,
}

impl Facts {
    /// Reads them.
    pub fn read() -> Facts {
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let setting =
            |name: &str| parse_setting(&fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default());
        Facts {
            nofile: parse_limit(&limits, "Max open files"),
            memlock: parse_limit(&limits, "Max locked memory"),
            may_lock_memory: parse_capability(&status, CAP_IPC_LOCK),
            somaxconn: setting("net/core/somaxconn"),
            file_max: setting("fs/file-max"),
            nr_open: setting("fs/nr_open"),
            max_map_count: setting("vm/max_map_count"),
            io_uring_disabled: setting("kernel/io_uring_disabled"),
        }
    }
}

/// Finds a limit by its name in the text of `/proc/self/limits`.
fn parse_limit(limits: &str, name: &str) -> Option<ProcessLimit> {
    let values = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut values = values.split_whitespace().map(|value| match value {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some(ProcessLimit { soft: values.next()??, hard: values.next()?? })
}

/// Whether the effective capabilities in the text of `/proc/self/status` have this one.
fn parse_capability(status: &str, bit: u32) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set >> bit & 1 == 1)
}

/// The number in a file of `/proc/sys`.
fn parse_setting(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max open files            1024                 20000                files     
Max locked memory         8388608              unlimited            bytes     
Max address space         garbage              unlimited            bytes     
";

    #[test]
    fn limits() {
        let table = [
            ("Max open files", Some(ProcessLimit { soft: 1024, hard: 20_000 })),
            ("Max locked memory", Some(ProcessLimit { soft: 8_388_608, hard: u64::MAX })),
            ("Max address space", None),
            ("Max absent", None),
        ];
        for (name, limit) in table {
            assert_eq!(parse_limit(LIMITS, name), limit, "{name}");
        }
        assert_eq!(parse_limit("Max open files            1024", "Max open files"), None);
        assert_eq!(parse_limit("", "Max open files"), None);
    }

    #[test]
    fn capabilities() {
        let table = [
            ("Name:\tsws\nCapInh:\t0000000000004000\nCapEff:\t0000000000004000\n", true),
            ("CapPrm:\t0000000000004000\nCapEff:\t0000000000003fff\n", false),
            ("CapEff:\t000001ffffffffff\n", true),
            ("CapEff:\tnothing\n", false),
            ("", false),
        ];
        for (status, has) in table {
            assert_eq!(parse_capability(status, CAP_IPC_LOCK), has, "{status:?}");
        }
    }

    #[test]
    fn settings() {
        let table = [
            ("4096\n", Some(4096)),
            ("9223372036854775807\n", Some(i64::MAX as u64)),
            ("", None),
            ("-1\n", None),
            ("a\n", None),
        ];
        for (text, value) in table {
            assert_eq!(parse_setting(text), value, "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_facts() {
        let facts = Facts::read();
        assert!(facts.nofile.is_some_and(|limit| limit.soft <= limit.hard));
        assert!(facts.memlock.is_some() && facts.file_max.is_some() && facts.max_map_count.is_some());
    }
}

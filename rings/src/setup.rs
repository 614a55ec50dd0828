//! How a ring is made, and what is said when it cannot be.
//!
//! Flags are tried from the best set downwards; the kernel's refusal, never its version, moves on to the next set.

use crate::config::RingConfig;
use io_uring::IoUring;
use std::fmt;
use std::io;

/// Why there is no ring. `Display` names the cause and what to change.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// The kernel has no io_uring, or a filter pretends so (ENOSYS).
    Missing,
    /// io_uring is forbidden (EPERM): by `kernel.io_uring_disabled`, or by a seccomp filter.
    Forbidden {
        /// The value of `kernel.io_uring_disabled`, where it can be read.
        sysctl: Option<u8>,
        /// Whether this process runs under a seccomp filter.
        seccomp: bool,
    },
    /// The ring's memory is over `RLIMIT_MEMLOCK` (ENOMEM).
    MemoryLimit {
        /// The limit in bytes.
        memlock: u64,
    },
    /// No descriptor is left (EMFILE, ENFILE).
    Descriptors,
    /// The kernel is too old for something that cannot be done without.
    TooOld {
        /// What is missing.
        feature: &'static str,
    },
    /// Any other refusal.
    Other(io::Error),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Missing => write!(
                f,
                "io_uring is not available (ENOSYS): the kernel is older than 5.1 or built without CONFIG_IO_URING, \
                 or a container's seccomp profile hides it; use a kernel from 6.1 on, or allow io_uring_setup, \
                 io_uring_enter and io_uring_register in the profile"
            ),
            SetupError::Forbidden { sysctl: Some(level @ 1..), .. } => write!(
                f,
                "io_uring is forbidden (EPERM): kernel.io_uring_disabled is {level}; \
                 run `sysctl -w kernel.io_uring_disabled=0`"
            ),
            SetupError::Forbidden { seccomp: true, .. } => write!(
                f,
                "io_uring is forbidden (EPERM) by a seccomp filter, as Docker's and containerd's default profiles do; \
                 allow io_uring_setup, io_uring_enter and io_uring_register (for Docker: --security-opt seccomp=FILE)"
            ),
            SetupError::Forbidden { .. } => write!(
                f,
                "io_uring is forbidden (EPERM): a security module refuses it; look for the refusal in the kernel's log"
            ),
            SetupError::MemoryLimit { memlock } => write!(
                f,
                "the ring does not fit in the locked-memory limit (ENOMEM, RLIMIT_MEMLOCK is {memlock} bytes); \
                 raise it with `ulimit -l 65536` or LimitMEMLOCK=64M"
            ),
            SetupError::Descriptors => {
                write!(f, "no file descriptor is left for the ring (EMFILE); raise it with `ulimit -n`")
            }
            SetupError::TooOld { feature } => write!(f, "the kernel is too old: it has no {feature}"),
            SetupError::Other(error) => write!(f, "io_uring cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SetupError::Other(error) => Some(error),
            SetupError::Missing
            | SetupError::Forbidden { .. }
            | SetupError::MemoryLimit { .. }
            | SetupError::Descriptors
            | SetupError::TooOld { .. } => None,
        }
    }
}

impl From<io::Error> for SetupError {
    fn from(error: io::Error) -> SetupError {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => SetupError::Missing,
            Some(libc::EPERM | libc::EACCES) => {
                SetupError::Forbidden { sysctl: disabled_level(), seccomp: under_seccomp() }
            }
            Some(libc::ENOMEM) => SetupError::MemoryLimit { memlock: memlock_limit() },
            Some(libc::EMFILE | libc::ENFILE) => SetupError::Descriptors,
            _ => SetupError::Other(error),
        }
    }
}

fn disabled_level() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn under_seccomp() -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
}

fn memlock_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the struct that outlives the call.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    limit.rlim_cur
}

/// The sets of flags, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flags {
    /// SINGLE_ISSUER: one thread submits, so the kernel takes no lock for it.
    /// DEFER_TASKRUN: completions are made when the loop waits, not in the middle of its work.
    /// SUBMIT_ALL: one bad submission does not hold up those behind it.
    /// CQSIZE: room for a burst of multishot completions.
    /// NO_SQARRAY (6.6): one indirection less for each submission.
    Best,
    /// As `Best` without NO_SQARRAY (6.1).
    Deferred,
    /// COOP_TASKRUN (5.19): completions wait for the next system call instead of interrupting the thread.
    Cooperative,
    /// CQSIZE only.
    Plain,
}

const CASCADE: [Flags; 4] = [Flags::Best, Flags::Deferred, Flags::Cooperative, Flags::Plain];
/// A ring below this many entries is of no use to a server.
const ENTRIES_MIN: u32 = 64;

/// Makes a ring with the best flags, and the most entries, that the kernel grants.
pub(crate) fn build(config: &RingConfig) -> Result<IoUring, SetupError> {
    let (mut entries, mut completions) = (config.submission_entries, config.completion_entries);
    loop {
        match build_sized(config, entries, completions) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && entries > ENTRIES_MIN => {
                entries /= 2;
                completions /= 2;
            }
            Err(error) => return Err(error.into()),
            Ok(ring) if !ring.params().is_feature_ext_arg() => {
                return Err(SetupError::TooOld { feature: "IORING_ENTER_EXT_ARG (Linux 5.11)" });
            }
            Ok(ring) => return Ok(ring),
        }
    }
}

fn build_sized(config: &RingConfig, entries: u32, completions: u32) -> io::Result<IoUring> {
    let mut refusal = io::Error::from_raw_os_error(libc::EINVAL);
    for flags in CASCADE {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_clamp().setup_cqsize(completions);
        if let Some(ring) = config.attach {
            builder.setup_attach_wq(ring);
        }
        match flags {
            Flags::Best => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all().setup_no_sqarray();
            }
            Flags::Deferred => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
            }
            Flags::Cooperative => {
                builder.setup_coop_taskrun().setup_submit_all();
            }
            Flags::Plain => {}
        }
        match builder.build(entries) {
            Ok(ring) => return Ok(ring),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refusal = error,
            Err(error) => return Err(error),
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_its_mend() {
        let cases: [(SetupError, &str); 6] = [
            (SetupError::Missing, "CONFIG_IO_URING"),
            (
                SetupError::Forbidden { sysctl: Some(2), seccomp: false },
                "sysctl -w kernel.io_uring_disabled=0",
            ),
            (SetupError::Forbidden { sysctl: Some(0), seccomp: true }, "--security-opt seccomp"),
            (SetupError::Forbidden { sysctl: None, seccomp: false }, "security module"),
            (SetupError::MemoryLimit { memlock: 65536 }, "ulimit -l"),
            (SetupError::Descriptors, "ulimit -n"),
        ];
        for (error, mend) in cases {
            assert!(error.to_string().contains(mend), "{error}");
        }
        assert!(matches!(SetupError::from(io::Error::from_raw_os_error(libc::ENOSYS)), SetupError::Missing));
        assert!(matches!(
            SetupError::from(io::Error::from_raw_os_error(libc::EPERM)),
            SetupError::Forbidden { .. }
        ));
    }
}

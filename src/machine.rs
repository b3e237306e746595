//! What this machine has: memory, disk, processor. On Linux the limits of
//! control groups count, too, as in containers; other systems tell less.

use serde::Serialize;
use std::path::{Path, PathBuf};

pub const GIB: f64 = (1u64 << 30) as f64;

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Of the machine.
    pub total: u64,
    /// What can be had without swapping, within the limit.
    pub available: u64,
    /// Of the control group, where there is one below the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// The memory of this machine, where the system tells.
pub fn memory() -> Option<Memory> {
    memory_below(Path::new("/"))
}

/// [`memory`] of a system whose `proc` and `sys` lie in a folder.
fn memory_below(root: &Path) -> Option<Memory> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib << 10)
    };
    let (total, free) = (field("MemTotal:")?, field("MemAvailable:")?);
    let groups = group_folders(root);
    let limits = groups.iter().filter_map(|g| group_limit(g));
    let limits: Vec<(u64, u64)> = limits.filter(|(limit, _)| *limit < total).collect();
    Some(Memory {
        total,
        available: limits
            .iter()
            .fold(free, |least, (_, left)| least.min(*left)),
        limit: limits.iter().map(|(limit, _)| *limit).min(),
    })
}

/// The folders of the control group of this process and of those around it.
fn group_folders(root: &Path) -> Vec<PathBuf> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let mount = match controllers {
            "" => root.join("sys/fs/cgroup"),
            c if c.split(',').any(|c| c == "memory") => root.join("sys/fs/cgroup/memory"),
            _ => continue,
        };
        let mut path = Path::new(path.trim_start_matches('/'));
        loop {
            folders.push(mount.join(path));
            match path.parent() {
                Some(parent) => path = parent,
                None => break,
            }
        }
    }
    folders
}

/// The limit of a group, and what is left of it; file caches give way.
fn group_limit(folder: &Path) -> Option<(u64, u64)> {
    let number = |name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse().ok()
    };
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cache = ["inactive_file ", "total_inactive_file "]
        .iter()
        .find_map(|name| {
            let value = stat.lines().find_map(|l| l.strip_prefix(name))?;
            value.trim().parse::<u64>().ok()
        });
    let used = used.saturating_sub(cache.unwrap_or(0));
    Some((limit, limit.saturating_sub(used)))
}

/// The resident set of this process in bytes: now, and at its largest.
pub fn resident() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib << 10)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

/// Bytes that a user may still write where a path lies, or will lie.
#[cfg(unix)]
pub fn free_disk(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let place = path.ancestors().find(|p| p.exists());
    let place = place.unwrap_or(Path::new("."));
    let name = std::ffi::CString::new(place.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` ends with a zero, and `stat` is written where it says 0.
    let stat = unsafe {
        if libc::statvfs(name.as_ptr(), stat.as_mut_ptr()) != 0 {
            return None;
        }
        stat.assume_init()
    };
    Some(stat.f_bavail as u64 * stat.f_frsize as u64)
}

/// Bytes that a user may still write where a path lies, or will lie.
#[cfg(not(unix))]
pub fn free_disk(_: &Path) -> Option<u64> {
    None
}

/// The processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// As it calls itself, empty where the system does not tell.
    pub name: String,
    /// Threads that this process may use at once.
    pub threads: usize,
    /// Of the machine.
    pub cores: usize,
    /// Vector instructions that our kernels, or those of libraries, use.
    pub vectors: Vec<&'static str>,
}

pub fn cpu() -> Cpu {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("model name"));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = text.lines().filter(|l| l.starts_with("processor")).count();
    Cpu {
        name: name.map_or(String::new(), |n| {
            n.trim_matches([' ', '\t', ':']).to_string()
        }),
        threads,
        cores: cores.max(threads),
        vectors: vectors(),
    }
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> Vec<&'static str> {
    [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ]
    .iter()
    .filter(|(_, there)| *there)
    .map(|(name, _)| *name)
    .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> Vec<&'static str> {
    // Part of every 64-bit ARM.
    if cfg!(target_arch = "aarch64") {
        vec!["neon"]
    } else {
        Vec::new()
    }
}

/// A number of bytes as a person says it.
pub fn bytes(count: u64) -> String {
    const MIB: f64 = (1 << 20) as f64;
    match count as f64 {
        b if b >= GIB => format!("{:.1} GiB", b / GIB),
        b if b >= 10.0 * MIB => format!("{:.0} MiB", b / MIB),
        b if b >= 0.1 * MIB => format!("{:.1} MiB", b / MIB),
        b => format!("{:.0} KiB", b / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       8388608 kB\nMemFree: 1 kB\nMemAvailable:    4194304 kB\n",
    );

    #[test]
    fn the_tightest_group_around_the_process_counts() {
        let folder = system(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/a/memory.current", "1073741824\n"),
            (
                "sys/fs/cgroup/a/memory.stat",
                "anon 5\ninactive_file 536870912\n",
            ),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.current", "1\n"),
        ]);
        let memory = memory_below(folder.path()).unwrap();
        assert_eq!(memory.total, 8 << 30);
        assert_eq!(memory.limit, Some(2 << 30));
        // 2 GiB less 1 GiB of which half is cache.
        assert_eq!(memory.available, 3 << 29);
    }

    #[test]
    fn the_older_kind_of_group_and_none() {
        let folder = system(&[
            MEMINFO,
            ("proc/self/cgroup", "9:cpu,memory:/\n2:devices:/x\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "73741824\n"),
        ]);
        let memory = memory_below(folder.path()).unwrap();
        assert_eq!(
            (memory.limit, memory.available),
            (Some(1 << 30), 1_000_000_000)
        );
        let memory = memory_below(system(&[MEMINFO]).path()).unwrap();
        assert_eq!((memory.limit, memory.available), (None, 4 << 30));
    }

    #[test]
    fn a_place_that_is_not_there_yet_has_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_disk(&folder.path().join("runs/x"));
        assert_eq!(free.is_some(), cfg!(unix));
        assert!(free.is_none_or(|f| f > 0));
    }

    #[test]
    fn bytes_read_well() {
        assert_eq!(bytes(5120), "5 KiB");
        assert_eq!(bytes(300 << 10), "0.3 MiB");
        assert_eq!(bytes(12 << 20), "12 MiB");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
    }
}

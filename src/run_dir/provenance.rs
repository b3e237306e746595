//! Where a run comes from: enough to make it again, and to tell two apart.

use crate::config::Config;
use crate::device::{DeviceChoice, Resolved};
use crate::machine::resident;
use crate::report::Provenance;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What is known when a training begins; `command` is what was typed.
pub fn provenance(
    config: &Config,
    device: &Resolved,
    data_hash: &str,
    command: &str,
) -> Provenance {
    let some = |text: &String| Some(text.clone()).filter(|t| !t.is_empty());
    let on_gpu = device.backend.starts_with("wgpu");
    Provenance {
        version: env!("CARGO_PKG_VERSION").to_string(),
        git_hash: option_env!("RECSYS_GIT_HASH").map(str::to_string),
        data_hash: data_hash.to_string(),
        device: match config.device {
            choice @ DeviceChoice::Wgpu(_) => choice.to_string(),
            _ if on_gpu => "wgpu".to_string(),
            _ if device.backend == "flex" => "cpu".to_string(),
            _ => device.backend.clone(),
        },
        adapter: on_gpu.then(|| format!("{} ({})", device.name, device.backend)),
        driver: some(&device.driver),
        seed: config.seed,
        command: command.to_string(),
        started: utc(SystemTime::now())
            .format("%Y-%m-%dT%H:%M:%S%.3fZ")
            .to_string(),
        ..Provenance::default()
    }
}

/// One session of a training: from its start, or from a resume, to its end.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    begun: Instant,
    cpu_seconds: Option<f64>,
}

impl Session {
    pub fn begin() -> Self {
        Self {
            begun: Instant::now(),
            cpu_seconds: cpu_seconds(),
        }
    }

    /// Adds what the session cost until now.
    pub fn add_to(&self, provenance: &mut Provenance) {
        provenance.wall_seconds += self.begun.elapsed().as_secs_f64();
        if let (Some(begun), Some(now)) = (self.cpu_seconds, cpu_seconds()) {
            *provenance.cpu_seconds.get_or_insert(0.0) += now - begun;
        }
        provenance.peak_memory_bytes = provenance
            .peak_memory_bytes
            .max(resident().map(|(_, peak)| peak));
    }
}

/// A moment as a date and time of day in UTC.
pub fn utc(time: SystemTime) -> chrono::DateTime<chrono::Utc> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    chrono::DateTime::from_timestamp(since.as_secs() as i64, since.subsec_nanos())
        .unwrap_or_default()
}

/// What all threads of the process have computed, in seconds: unlike the wall
/// time it hardly depends on what else the machine does.
fn cpu_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        // SAFETY: all zero is a valid `rusage`, and the call fills the one it is given.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            if libc::getrusage(libc::RUSAGE_SELF, &mut usage) != 0 {
                return None;
            }
            usage
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
        Some(seconds(usage.ru_utime) + seconds(usage.ru_stime))
    }
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::resolve;
    use std::time::Duration;

    #[test]
    fn moments_are_utc() {
        let time = UNIX_EPOCH + Duration::from_secs(951_782_400);
        assert_eq!(utc(time).format("%Y-%m-%d").to_string(), "2000-02-29");
    }

    #[test]
    fn sessions_add_up() {
        let mut provenance = Provenance::default();
        for _ in 0..2 {
            let session = Session::begin();
            std::thread::sleep(Duration::from_millis(5));
            session.add_to(&mut provenance);
        }
        assert!((0.01..10.0).contains(&provenance.wall_seconds));
        assert_eq!(provenance.cpu_seconds.is_some(), cfg!(unix));
        assert_eq!(
            provenance.peak_memory_bytes.is_some(),
            cfg!(target_os = "linux")
        );
    }

    #[test]
    fn the_device_is_as_it_is_typed() {
        let device = resolve(DeviceChoice::Cpu).unwrap();
        let made = provenance(&Config::default(), &device, "abc", "recsys train");
        assert_eq!((made.device.as_str(), made.adapter), ("cpu", None));
    }
}

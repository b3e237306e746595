//! Where a run comes from: enough to make it again, and to tell two apart.

use crate::config::Config;
use crate::device::{DeviceChoice, Resolved};
use crate::machine::resident;
use crate::report::Provenance;
use std::time::{SystemTime, UNIX_EPOCH};

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

/// Adds what a session of a training cost.
pub fn add_session(provenance: &mut Provenance, seconds: f64) {
    provenance.wall_seconds += seconds;
    provenance.peak_memory_bytes = provenance
        .peak_memory_bytes
        .max(resident().map(|(_, peak)| peak));
}

/// A moment as a date and time of day in UTC.
pub fn utc(time: SystemTime) -> chrono::DateTime<chrono::Utc> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    chrono::DateTime::from_timestamp(since.as_secs() as i64, since.subsec_nanos())
        .unwrap_or_default()
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
        add_session(&mut provenance, 1.5);
        add_session(&mut provenance, 2.0);
        assert_eq!(provenance.wall_seconds, 3.5);
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

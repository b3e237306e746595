//! The memory of graphics cards, which wgpu does not tell.

use std::path::Path;
use std::process::Command;

/// Bytes of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vram {
    /// What names it: an NVIDIA card's name, or `amdgpu`.
    pub card: String,
    pub total: u64,
    pub free: u64,
}

/// The cards whose drivers tell.
pub fn cards() -> Vec<Vram> {
    let mut cards = nvidia();
    cards.extend(amd(Path::new("/sys/class/drm")));
    cards
}

/// The memory of an adapter: of the card with its name, or of the only card of
/// its maker.
pub fn of_adapter(name: &str, driver: &str, cards: &[Vram]) -> Option<Vram> {
    if let Some(card) = cards.iter().find(|c| c.card == name) {
        return Some(card.clone());
    }
    let is_amd = driver.to_lowercase().contains("radv") || name.contains("AMD");
    let mut amd = cards.iter().filter(|c| c.card == "amdgpu");
    let only = amd.next().filter(|_| amd.next().is_none());
    only.filter(|_| is_amd).cloned()
}

fn nvidia() -> Vec<Vram> {
    if !Path::new("/proc/driver/nvidia").exists() && !cfg!(windows) {
        return Vec::new();
    }
    let output = Command::new("nvidia-smi")
        .args([
            "--query-gpu=name,memory.total,memory.free",
            "--format=csv,noheader,nounits",
        ])
        .output();
    let text = output
        .ok()
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    text.map(|t| parse_nvidia(&t)).unwrap_or_default()
}

/// Lines of `name, MiB, MiB`.
fn parse_nvidia(text: &str) -> Vec<Vram> {
    let card = |line: &str| {
        let mut cells = line.split(',').map(str::trim);
        let card = cells.next()?.to_string();
        let mut mib = || Some(cells.next()?.parse::<u64>().ok()? << 20);
        Some(Vram {
            card,
            total: mib()?,
            free: mib()?,
        })
    };
    text.lines().filter_map(card).collect()
}

fn amd(cards: &Path) -> Vec<Vram> {
    let Ok(folders) = std::fs::read_dir(cards) else {
        return Vec::new();
    };
    let card = |folder: std::fs::DirEntry| {
        let number = |name: &str| -> Option<u64> {
            let path = folder.path().join("device").join(name);
            std::fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        let total = number("mem_info_vram_total")?;
        Some(Vram {
            card: "amdgpu".into(),
            total,
            free: total.saturating_sub(number("mem_info_vram_used").unwrap_or(0)),
        })
    };
    // `card0`, not its outputs `card0-DP-1`.
    let is_card = |f: &std::fs::DirEntry| !f.file_name().to_string_lossy().contains('-');
    folders.flatten().filter(is_card).filter_map(card).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_found_by_name_or_maker() {
        let cards = parse_nvidia("NVIDIA H100 80GB HBM3, 81559, 81000\nbroken\n");
        assert_eq!(cards[0].total, 81559 << 20);
        let found = of_adapter("NVIDIA H100 80GB HBM3", "NVIDIA 535", &cards);
        assert_eq!(found.map(|c| c.free), Some(81000 << 20));
        assert_eq!(of_adapter("llvmpipe", "llvmpipe Mesa 23", &cards), None);
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("card1/device");
        std::fs::create_dir_all(&device).unwrap();
        std::fs::write(device.join("mem_info_vram_total"), "1000\n").unwrap();
        std::fs::write(device.join("mem_info_vram_used"), "400\n").unwrap();
        let cards = amd(folder.path());
        let found = of_adapter("AMD Radeon", "radv Mesa 24.1", &cards);
        assert_eq!(found.map(|c| c.free), Some(600));
    }
}

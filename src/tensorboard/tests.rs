use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn at(step: u64, fill: impl FnOnce(&mut Message)) -> String {
    let mut event = Message::default();
    event.double(message::WALL_TIME, 1.5);
    event.number(message::STEP, step);
    fill(&mut event);
    hex(event.bytes())
}

/// Against the bytes that `scripts/golden_events.py` prints. A step of zero is
/// written, where protocol buffers leave it out; readers take both.
#[test]
fn messages_are_those_of_the_tensorboard_package() {
    let without_step = |text: String| text.replacen("1000", "", 1);
    let version = at(0, |m| m.text(message::FILE_VERSION, "brain.Event:2"));
    assert_eq!(without_step(version), VERSION);
    assert_eq!(at(300, |m| message::session(m, Status::Start)), SESSION);
    let values = [
        ("train/loss".to_string(), 0.5),
        ("validation/ndcg@10".to_string(), 0.25),
    ];
    assert_eq!(at(7, |m| message::scalars(m, &values)), SCALARS);
    let text = at(0, |m| message::markdown(m, "config", "# seed"));
    assert_eq!(without_step(text), TEXT);
}

const VERSION: &str = "09000000000000f83f1a0d627261696e2e4576656e743a32";
const SESSION: &str = "09000000000000f83f10ac023a020801";
const SCALARS: &str = "09000000000000f83f10072a2e0a110a0a747261696e2f6c6f7373150000003f0a190a1276616c69646174696f6e2f6e646367403130150000803e";
const TEXT: &str = "09000000000000f83f2a240a220a06636f6e666967420c0807120042062320736565644a0a0a060a04746578742002";

/// Lengths of the records of a file.
fn records(path: &Path) -> Vec<usize> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut lengths = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let mut framed = Vec::new();
        record::frame(&mut framed, &rest[12..12 + length]);
        assert_eq!(framed, rest[..length + 16]);
        rest = &rest[length + 16..];
        lengths.push(length);
    }
    lengths
}

#[test]
fn sessions_write_files_that_sort_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = EventWriter::create(dir.path(), 1).unwrap();
    first
        .scalars(1, &[("train/loss".to_string(), 0.5)])
        .unwrap();
    EventWriter::create(dir.path(), 2).unwrap();
    let files = files(dir.path()).unwrap();
    assert_eq!(files[0], first.path);
    assert_eq!(records(&files[0]).len(), 3);
    assert_eq!(records(&files[1]).len(), 2);
}

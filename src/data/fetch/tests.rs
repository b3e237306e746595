//! Against a small server of our own: no test leaves this machine.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

const CONTENT: &[u8] = b"1\t10\t5\t100\n2\t20\t4\t200\n";
const CONTENT_SHA256: &str = "28ba2882c6ab16611ff829db268b7f5958031ed2809c7929b1c5111eae8a560a";

fn entry(files: &'static [CatalogFile]) -> FetchEntry {
    FetchEntry {
        name: "tiny",
        summary: "two ratings",
        page: "https://example.org",
        license: "for tests only",
        source: Source::Files {
            base: "http://127.0.0.1:9/none",
        },
        files,
    }
}

const FILES: &[CatalogFile] = &[
    CatalogFile {
        name: "u.data",
        required: true,
        check: Check::Sha256(CONTENT_SHA256),
    },
    CatalogFile {
        name: "README",
        required: false,
        check: Check::Any,
    },
];

/// Serves `content` as `/u.data` (and as `/tiny.zip`), with ranges; `cut`
/// closes the first connection after so many bytes of the body. Returns its
/// address and the `Range` header of each request.
fn serve(content: Vec<u8>, cut: Option<usize>) -> (String, Arc<Mutex<Vec<Option<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&ranges);
    let mut cut = cut;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let path = lines.next().unwrap().unwrap();
            let range = lines
                .map_while(Result::ok)
                .take_while(|l| !l.is_empty())
                .find_map(|l| {
                    l.to_lowercase()
                        .strip_prefix("range: bytes=")
                        .map(|r| r.trim_end_matches('-').to_owned())
                });
            log.lock().unwrap().push(range.clone());
            let start: usize = range.map_or(0, |r| r.parse().unwrap());
            let (head, body) = answer(&path, start, &content);
            let body = &body[..cut.take().unwrap_or(body.len()).min(body.len())];
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    (address, ranges)
}

fn answer<'a>(path: &str, start: usize, content: &'a [u8]) -> (String, &'a [u8]) {
    let n = content.len();
    let head = |status: &str, length: usize, extra: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{extra}\r\n")
    };
    if !path.contains("u.data") && !path.contains("tiny.zip") {
        (head("404 Not Found", 0, ""), &[])
    } else if start == 0 {
        (head("200 OK", n, ""), content)
    } else if start >= n {
        let range = format!("Content-Range: bytes */{n}\r\n");
        (head("416 Range Not Satisfiable", 0, &range), &[])
    } else {
        let range = format!("Content-Range: bytes {start}-{}/{n}\r\n", n - 1);
        (
            head("206 Partial Content", n - start, &range),
            &content[start..],
        )
    }
}

fn zipped() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file("tiny/u.data", options).unwrap();
    writer.write_all(CONTENT).unwrap();
    writer.start_file("../../evil", options).unwrap();
    writer.write_all(b"no").unwrap();
    writer.finish().unwrap().into_inner()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn run(from: &str, root: &Path) -> (Result<PathBuf>, Vec<FetchEvent>) {
    let mut events = Vec::new();
    let done = fetch_entry(&entry(FILES), Some(from), root, &mut |e| events.push(e));
    (done, events)
}

#[test]
fn files_below_an_address_come_whole_and_optional_ones_may_be_missing() {
    let root = tempfile::tempdir().unwrap();
    let (address, _) = serve(CONTENT.to_vec(), None);
    let (done, events) = run(&address, root.path());
    let folder = done.unwrap();
    assert_eq!(std::fs::read(folder.join("u.data")).unwrap(), CONTENT);
    assert_eq!(names(&folder), ["TERMS.txt", "u.data"]);
    assert_eq!(names(root.path()), ["tiny"]);
    assert!(matches!(&events[0], FetchEvent::License { terms, .. } if terms == "for tests only"));
    let n = CONTENT.len() as u64;
    assert!(events.iter().any(|e| matches!(e,
        FetchEvent::Downloaded { done, total: Some(t), .. } if *done == n && *t == n)));

    let (again, events) = run(&address, root.path());
    assert_eq!(again.unwrap(), folder);
    assert_eq!(events[1], FetchEvent::AlreadyThere(folder));
}

#[test]
fn a_download_that_broke_off_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (address, ranges) = serve(CONTENT.to_vec(), Some(7));
    let (broken, _) = run(&address, root.path());
    let message = format!("{:#}", broken.unwrap_err());
    assert!(message.contains("broke off after 7 of"), "{message}");
    assert_eq!(names(root.path()), ["tiny.u.data.part"]);

    let (done, _) = run(&address, root.path());
    let folder = done.unwrap();
    assert_eq!(std::fs::read(folder.join("u.data")).unwrap(), CONTENT);
    assert_eq!(ranges.lock().unwrap()[..2], [None, Some("7".to_owned())]);
    assert_eq!(names(root.path()), ["tiny"]);
}

#[test]
fn a_part_that_is_already_whole_is_taken_and_one_that_is_too_long_is_not() {
    for (extra, requests) in [(&b""[..], 1), (b"junk", 2)] {
        let root = tempfile::tempdir().unwrap();
        let part = [CONTENT, extra].concat();
        std::fs::write(root.path().join("tiny.u.data.part"), part).unwrap();
        let (address, ranges) = serve(CONTENT.to_vec(), None);
        let folder = run(&address, root.path()).0.unwrap();
        assert_eq!(std::fs::read(folder.join("u.data")).unwrap(), CONTENT);
        // One more request asks for the README.
        assert_eq!(ranges.lock().unwrap().len(), requests + 1);
    }
}

#[test]
fn another_checksum_is_an_error_that_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (address, _) = serve(b"something else\n".to_vec(), None);
    let message = format!("{:#}", run(&address, root.path()).0.unwrap_err());
    assert!(message.contains("u.data has another checksum"), "{message}");
    assert_eq!(names(root.path()), [""; 0]);
}

#[test]
fn a_zip_is_unpacked_from_an_address_and_from_a_file_and_cannot_escape() {
    let root = tempfile::tempdir().unwrap();
    let (address, _) = serve(zipped(), None);
    let folder = run(&format!("{address}/tiny.zip"), root.path()).0.unwrap();
    assert_eq!(names(&folder), ["TERMS.txt", "u.data"]);
    assert_eq!(names(root.path()), ["tiny"]);

    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("copy.zip");
    std::fs::write(&file, zipped()).unwrap();
    let folder = run(file.to_str().unwrap(), &root.path().join("datasets"));
    assert_eq!(names(&folder.0.unwrap()), ["TERMS.txt", "u.data"]);
}

#[test]
fn a_folder_serves_with_plain_or_gzipped_files() {
    let root = tempfile::tempdir().unwrap();
    let copy = root.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let message = format!(
        "{:#}",
        run(copy.to_str().unwrap(), root.path()).0.unwrap_err()
    );
    assert!(
        message.contains("neither u.data nor u.data.gz"),
        "{message}"
    );

    let file = std::fs::File::create(copy.join("u.data.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gz.write_all(CONTENT).unwrap();
    gz.finish().unwrap();
    let folder = run(copy.to_str().unwrap(), root.path()).0.unwrap();
    assert_eq!(std::fs::read(folder.join("u.data")).unwrap(), CONTENT);
}

#[test]
fn a_folder_in_the_way_is_not_overwritten() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("tiny")).unwrap();
    std::fs::write(root.path().join("tiny/u.data"), b"mine").unwrap();
    let message = format!("{:#}", run("/nowhere", root.path()).0.unwrap_err());
    assert!(message.contains("move it away"), "{message}");
    assert_eq!(
        std::fs::read(root.path().join("tiny/u.data")).unwrap(),
        b"mine"
    );
}

#[test]
fn names_and_paths_that_do_not_exist_are_errors_that_help() {
    let root = tempfile::tempdir().unwrap();
    let unknown = fetch("ml-10k", None, root.path(), &mut |_| {});
    let message = format!("{:#}", unknown.unwrap_err());
    assert!(message.contains("did you mean `ml-100k`?"), "{message}");
    assert!(message.contains("gowalla"), "{message}");
    let message = format!("{:#}", run("/no/such/file", root.path()).0.unwrap_err());
    assert!(
        message.contains("/no/such/file does not exist"),
        "{message}"
    );
    let message = format!(
        "{:#}",
        run("http://127.0.0.1:9", root.path()).0.unwrap_err()
    );
    assert!(message.contains("--from PATH"), "{message}");
}

#[test]
fn the_catalog_has_unique_names_and_well_formed_checksums() {
    for (i, entry) in CATALOG.iter().enumerate() {
        assert!(CATALOG[..i].iter().all(|e| e.name != entry.name));
        assert!(entry.files.iter().any(|f| f.required), "{}", entry.name);
        for file in entry.files {
            if let Check::Sha256(h) | Check::SortedLines(h) | Check::SortedItems(h) = file.check {
                assert!(h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit()));
            }
        }
    }
}

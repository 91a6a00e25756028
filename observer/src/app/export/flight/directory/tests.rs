use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process,
    sync::Mutex,
    thread,
    time::{Duration, SystemTime},
};

use super::{Directory, is_ours, remove_empty};

fn next(directory: &Directory) -> (std::path::PathBuf, File) {
    directory.next(|warning| panic!("{warning}")).expect("a file")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

fn write(path: &Path, bytes: usize, written: SystemTime) {
    fs::write(path, vec![0; bytes]).expect("a file");
    let file = File::options().write(true).open(path);
    file.and_then(|file| file.set_modified(written)).expect("a time");
}

fn names(directory: &Directory) -> BTreeSet<String> {
    let entries = fs::read_dir(&directory.path).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("a name")
    };
    entries.map(name).collect()
}

#[test]
fn only_its_own_files_go_and_the_oldest_first() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = Directory::new(place.path().join("a/b"), 1000).expect("a directory");
    let others = ["notes.txt", "observer-flight-mine.ndjson.zst", "incident.ndjson.zst"];
    let ago = |seconds| SystemTime::now() - Duration::from_secs(seconds);
    for other in others {
        write(&directory.path.join(other), 300, ago(1_000_000));
    }
    for day in 1..=9 {
        let name = format!("observer-flight-2026010{day}T000000Z.ndjson.zst");
        write(&directory.path.join(name), 300, ago(100 - day));
    }
    let (next, _file) = next(&directory);
    assert!(is_ours(&next), "{}", next.display());
    fs::remove_file(next).expect("it is there");
    let last = ["observer-flight-20260109T000000Z.ndjson.zst"];
    assert_eq!(names(&directory), others.into_iter().chain(last).map(str::to_owned).collect());
}

#[test]
fn what_it_makes_is_for_nobody_else() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("a/b");
    let directory = Directory::new(path.clone(), 1000).expect("a directory");
    assert_eq!((mode(&path), mode(&place.path().join("a"))), (0o700, 0o700));
    assert_eq!(mode(&next(&directory).0), 0o600);
}

#[test]
fn a_link_at_the_name_of_the_probe_is_not_followed() {
    let place = tempfile::tempdir().expect("a directory");
    let target = place.path().join("precious");
    fs::write(&target, "bytes of others").expect("a file");
    let path = place.path().join("flight");
    fs::create_dir(&path).expect("a directory");
    let probe = path.join(format!(".observer-flight-{}", process::id()));
    symlink(&target, &probe).expect("a link");
    let directory = Directory::new(path, 1000).expect("a directory");
    assert_eq!(fs::read_to_string(target).expect("it is there"), "bytes of others");
    assert_eq!(names(&directory), BTreeSet::new());
}

#[test]
fn dangling_links_at_its_names_are_not_followed() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = Directory::new(place.path().join("flight"), 1000).expect("a directory");
    let target = place.path().join("nowhere");
    // Of this second and of those in which the file may be made.
    for second in 0..60 {
        let time = SystemTime::now() + Duration::from_secs(second);
        let time = humantime::format_rfc3339_seconds(time).to_string().replace(['-', ':'], "");
        let name = format!("observer-flight-{time}.ndjson.zst");
        symlink(&target, directory.path.join(name)).expect("a link");
    }
    let (path, file) = next(&directory);
    assert!(file.metadata().expect("it is there").is_file());
    assert!(path.to_string_lossy().ends_with("Z-1.ndjson.zst"), "{}", path.display());
    assert!(!target.exists());
}

#[test]
fn two_exporters_get_files_of_their_own() {
    let place = tempfile::tempdir().expect("a directory");
    let both = [(); 2].map(|()| Directory::new(place.path().into(), 1000).expect("a directory"));
    let paths = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..8 {
            let (directory, paths) = (&both[number % 2], &paths);
            scope.spawn(move || {
                for _ in 0..10 {
                    let (path, _file) = next(directory);
                    paths.lock().expect("nobody panicked").push(path);
                }
            });
        }
    });
    let paths = paths.into_inner().expect("nobody panicked");
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), 80);
    assert!(paths.iter().all(|path| mode(path) == 0o600 && is_ours(path)));
}

#[test]
fn one_of_the_future_goes_first() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = Directory::new(place.path().into(), 1000).expect("a directory");
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let [future, old] = ["20260102", "20260101"]
        .map(|day| directory.path.join(format!("observer-flight-{day}T000000Z.ndjson.zst")));
    write(&future, 300, now + hour);
    write(&old, 300, now - hour);
    next(&directory);
    assert!(!future.exists() && old.exists());
}

#[test]
fn one_that_is_a_little_too_large_is_kept_for_the_next() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = Directory::new(place.path().into(), 1000).expect("a directory");
    let path = directory.path.join("observer-flight-20260101T000000Z.ndjson.zst");
    let bytes = usize::try_from(directory.of_one() + 1).expect("a size");
    write(&path, bytes, SystemTime::now() - Duration::from_secs(10));
    next(&directory);
    assert!(path.exists());
}

#[test]
fn only_what_is_empty_and_its_own_is_removed_again() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = Directory::new(place.path().into(), 1000).expect("a directory");
    let (path, file) = next(&directory);
    fs::remove_file(&path).expect("it is there");
    fs::write(&path, "").expect("a file of others");
    remove_empty(&path, &file);
    assert!(path.exists(), "that of others is gone");
    let (path, file) = next(&directory);
    fs::write(&path, "bytes").expect("written");
    remove_empty(&path, &file);
    assert!(path.exists(), "what is not empty is gone");
    fs::write(&path, "").expect("written");
    remove_empty(&path, &file);
    assert!(!path.exists(), "it is still there");
}

#[test]
fn names_are_told_from_those_of_others() {
    let name = |name: &str| is_ours(Path::new(name));
    assert!(name("observer-flight-20260101T000000Z.ndjson.zst"));
    assert!(name("a/observer-flight-20260101T000000Z-7.ndjson.zst"));
    assert!(!name("observer-flight-2026T.ndjson.zst"));
    assert!(!name(".observer-flight-20260101T000000Z.ndjson.zst"));
}

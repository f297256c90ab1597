//! What a lane gives back, whatever became of its files.

use super::*;

fn entry(number: u64) -> Entry<'static> {
    Entry {
        flush: Some(number),
        losses: vec![LossEntry {
            source: "x".repeat(1000),
            from: chrono::DateTime::UNIX_EPOCH,
            to: chrono::DateTime::UNIX_EPOCH,
            reason: String::new(),
            lost: 1,
        }]
        .into(),
        ..Entry::default()
    }
}

fn drain(lane: &mut Lane) -> Vec<u64> {
    let mut numbers = Vec::new();
    while !lane.is_empty() {
        numbers.extend(lane.take(1).unwrap().iter().filter_map(|entry| entry.flush));
        lane.confirm().unwrap();
    }
    numbers
}

#[test]
fn entries_come_out_in_order_and_leave_no_file_behind() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), "db", 1 << 20).unwrap();
    let mut lane = spool.lane(0, 1).unwrap();
    (0..20).for_each(|number| lane.append(&entry(number)).unwrap());
    assert_eq!(drain(&mut lane), (0..20).collect::<Vec<_>>());
    assert_eq!(
        (
            lane.bytes(),
            std::fs::read_dir(spool.folder()).unwrap().count()
        ),
        (0, 1)
    );
}

#[test]
fn a_crash_loses_nothing_but_the_record_that_was_being_written() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), "db", 1 << 20).unwrap();
    let mut lane = spool.lane(0, 1).unwrap();
    (0..3).for_each(|number| lane.append(&entry(number)).unwrap());
    let path = spool.folder().join("00-0000000000.spool");
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(lane.bytes() - 5).unwrap();
    drop((lane, spool));
    let spool = Spool::open(dir.path(), "db", 1 << 20).unwrap();
    let mut lane = spool.lane(0, 1).unwrap();
    lane.append(&entry(7)).unwrap();
    assert_eq!(drain(&mut lane), [0, 1, 7]);
}

#[test]
fn what_was_not_stored_comes_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), "db", 1 << 20).unwrap();
    let mut lane = spool.lane(0, 1).unwrap();
    (0..3).for_each(|number| lane.append(&entry(number)).unwrap());
    assert_eq!(lane.take(1000).unwrap().len(), 3);
    lane.rewind();
    assert_eq!(drain(&mut lane), [0, 1, 2]);
}

#[test]
fn a_full_spool_refuses_and_has_room_again_when_drained() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), "db", 4000).unwrap();
    let mut lane = spool.lane(0, 1).unwrap();
    while lane.has_room() {
        lane.append(&entry(0)).unwrap();
    }
    assert!(matches!(lane.append(&entry(1)), Err(SpoolError::Full)));
    drain(&mut lane);
    lane.append(&entry(2)).unwrap();
}

#[test]
fn a_new_password_finds_the_same_spool_and_another_database_another() {
    let of = |word: &str, name: &str| identity(&format!("postgres://me:{word}@db.example/{name}"));
    assert_eq!(of("old", "beacon?sslmode=require"), of("new", "beacon"));
    assert_ne!(of("new", "beacon"), of("new", "other"));
    assert_eq!(identity("sqlite:/a/b.db"), "sqlite:/a/b.db");
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let one = Spool::open(dir.path(), "db", 1).unwrap();
    let two = Spool::open(dir.path(), "db", 1).unwrap();
    assert_ne!(one.folder(), two.folder());
}

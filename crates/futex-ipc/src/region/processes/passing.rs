//! Regions that are passed on as descriptors.

use super::*;

#[test]
fn a_region_is_sent_to_another_process() {
    const TEST: &str = "region::processes::passing::a_region_is_sent_to_another_process";
    if role().is_some() {
        let region = Region::builder().receive(io::stdin()).unwrap();
        leave_note(&region, 1);
        return until_closed();
    }
    let region = Region::builder().bytes(4096).anonymous().unwrap();
    let (socket, theirs) = UnixStream::pair().unwrap();
    let mut actor = Actor::start_with(&[], TEST, &["peer"], OwnedFd::from(theirs));
    region.send(&socket).unwrap();
    await_note(&region, 1);
    assert!(lives(&region, 1));
    actor.kill();
    assert!(!lives(&region, 1));
}

#[test]
fn a_region_with_a_name_is_not_sent_and_unsealed_memory_not_received() {
    let directory = directory();
    let region = builder(&directory).create("jobs").unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let error = region.send(&ours).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("can't be sent, because its memory is not sealed"), "{error}");

    SharedMemory::open_path(directory.path().join("jobs")).unwrap().send(&ours).unwrap();
    let error = Region::builder().receive(&theirs).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(low(membership(&region).slot(1, Acquire)), FREE);
}

#[test]
fn memory_that_is_not_a_region_is_not_joined() {
    let memory = SharedMemory::anonymous(8192).unwrap();
    let error = Region::builder().from_fd(&memory).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().starts_with("cannot join the region of the descriptor: "), "{error}");
}

#[test]
fn a_region_is_inherited_as_a_descriptor() {
    const TEST: &str = "region::processes::passing::a_region_is_inherited_as_a_descriptor";
    if role().is_some() {
        let region = Region::builder().from_fd(io::stdin()).unwrap();
        let again = Region::builder().from_fd(io::stdin()).unwrap();
        assert_eq!((slot(&region), slot(&again)), (1, 2));
        leave_note(&region, 1);
        return await_note(&region, 2);
    }
    let region = Region::builder().bytes(4096).anonymous().unwrap();
    let shared = region.share().unwrap();
    let mut actor = Actor::start_with(&[], TEST, &["heir"], Stdio::from(shared));
    await_note(&region, 1);
    assert!(lives(&region, 1) && lives(&region, 2));
    leave_note(&region, 2);
    assert!(actor.0.wait().unwrap().success());
    assert_eq!([1, 2].map(|slot| low(membership(&region).slot(slot, Acquire))), [FREE; 2]);
}

/// Without `/proc`, a member has the description that it was given. A second member with this description would get the lock of the
/// first one's slot too, and mark the first one as dead.
#[test]
fn two_members_do_not_get_one_description() {
    let region = Region::builder().members(2).anonymous().unwrap();
    let shared = region.share().unwrap();
    let join = || Region::builder().join_through(shared.as_fd(), "the region");
    let first = join().unwrap();
    let error = join().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("through the same open file description"), "{error}");
    assert!(lives(&region, slot(&first)));
    drop(first);
    let second = join().unwrap();
    assert_eq!((slot(&second), membership(&second).me().generation), (1, 2));
    // The description of a member that was refused is usable later.
    let other = region.share().unwrap();
    for _ in 0..2 {
        let full = Region::builder().join_through(other.as_fd(), "the region").unwrap_err();
        assert!(full.to_string().contains("is full"), "{full}");
    }
    drop(second);
    Region::builder().join_through(other.as_fd(), "the region").unwrap();
}

fn entries(directory: &TempDir) -> usize {
    fs::read_dir(directory.path()).unwrap().count()
}

/// The story: a member that had joined by a descriptor did not know the name. If it was the last member that left, the name stayed until
/// the next open.
#[test]
fn a_member_by_a_descriptor_removes_the_name_if_it_leaves_last() {
    const TEST: &str = "region::processes::passing::a_member_by_a_descriptor_removes_the_name_if_it_leaves_last";
    if role().is_some() {
        let region = Region::builder().from_fd(io::stdin()).unwrap();
        leave_note(&region, 1);
        return await_note(&region, 2);
    }
    let directory = directory();
    let maker = builder(&directory).create("jobs").unwrap();
    let opener = builder(&directory).open("jobs").unwrap();
    let mut actor = Actor::start_with(&[], TEST, &["heir"], Stdio::from(maker.share().unwrap()));
    await_note(&maker, 1);
    // The descriptor of a member that has opened the name has the name, too.
    let by_opener = Region::builder().from_fd(membership(&opener).as_fd()).unwrap();
    let file = fs::File::options().read(true).write(true).open(directory.path().join("jobs")).unwrap();
    let by_file = Region::builder().from_fd(file).unwrap();
    drop((maker, opener));
    leave_note(&by_file, 2);
    assert!(actor.0.wait().unwrap().success());
    drop(by_opener);
    assert_eq!(entries(&directory), 1);
    drop(by_file);
    assert_eq!(entries(&directory), 0);
}

#[test]
fn a_member_by_a_descriptor_leaves_a_name_that_leads_elsewhere_or_that_others_may_write() {
    let directory = directory();
    let region = builder(&directory).create("jobs").unwrap();
    let other = Region::builder().from_fd(region.share().unwrap()).unwrap();
    let path = directory.path().join("jobs");
    fs::rename(&path, directory.path().join("moved")).unwrap();
    // The name leads to no file, so `share` opens the file through /proc.
    drop(Region::builder().from_fd(region.share().unwrap()).unwrap());
    fs::write(&path, "another file").unwrap();
    drop((region, other));
    assert_eq!(entries(&directory), 2);
    for name in ["jobs", "moved"] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }

    let region = builder(&directory).mode(0o660).create("jobs").unwrap();
    let other = Region::builder().from_fd(region.share().unwrap()).unwrap();
    drop(region);
    drop(other);
    assert_eq!(entries(&directory), 1);
    // The next process that opens the name replaces it.
    drop(builder(&directory).mode(0o660).create("jobs").unwrap());
    assert_eq!(entries(&directory), 0);
}

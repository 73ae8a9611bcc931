//! Regions with unusual mounts: a missing `/proc`, file systems on which a region can't be, and full file systems.

use super::*;

#[test]
fn regions_work_without_proc_except_that_those_without_a_name_are_not_passed_on() {
    const TEST: &str =
        "region::processes::mounts::regions_work_without_proc_except_that_those_without_a_name_are_not_passed_on";
    if let Some(role) = role() {
        assert!(!Path::new("/proc/self").exists());
        let heir = Region::builder().from_fd(io::stdin()).unwrap();
        assert_eq!(Region::builder().from_fd(io::stdin()).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        let named = builder(&role[0]).open_or_create("jobs").unwrap();
        let anonymous = Region::builder().anonymous().unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        for error in [anonymous.share().unwrap_err(), anonymous.send(&socket).unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("can't be opened again through /proc/thread-self/fd"), "{error}");
        }
        // The named region is opened by its name.
        drop(builder(&role[0]).from_fd(named.share().unwrap()).unwrap());
        leave_note(&heir, 1);
        return await_note(&heir, 2);
    }
    let runner = ["unshare", "--mount", "sh", "-c", "umount -l /proc && exec \"$0\" \"$@\""];
    let usable = std::process::Command::new(runner[0]).args(&runner[1..]).arg("true").output();
    if !usable.is_ok_and(|output| output.status.success()) {
        return skip("only root can unmount /proc, by the program unshare");
    }
    let directory = directory();
    let region = Region::builder().bytes(4096).anonymous().unwrap();
    let shared = region.share().unwrap();
    let mut actor = Actor::start_with(&runner, TEST, &[directory.path().to_str().unwrap()], Stdio::from(shared));
    await_note(&region, 1);
    assert!(lives(&region, 1));
    let named = builder(&directory).open("jobs").unwrap();
    assert!(lives(&named, 0));
    leave_note(&region, 2);
    assert!(actor.0.wait().unwrap().success());
    assert!(!lives(&region, 1) && !lives(&named, 0));
    drop(named);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Returns a command that runs a program with an additional mount. `None`, and prints the reason, if that is not possible.
fn with_mount(mount: &str) -> Option<[String; 5]> {
    let script = format!("{mount} && exec \"$0\" \"$@\"");
    let runner = ["unshare", "--mount", "sh", "-c", &script].map(str::to_owned);
    let usable = std::process::Command::new(&runner[0]).args(&runner[1..]).arg("true").output();
    if !usable.is_ok_and(|output| output.status.success()) {
        skip(&format!("this needs root, the program unshare, and a kernel that can do this mount: {mount}"));
        return None;
    }
    Some(runner)
}

/// The story: an overlay maps a file of the file system below, so the mapping did not keep the lock of a member. After a careless close,
/// the other members marked the member as dead, although it used the memory.
#[test]
fn a_region_is_refused_on_overlayfs() {
    const TEST: &str = "region::processes::mounts::a_region_is_refused_on_overlayfs";
    if let Some(role) = role() {
        let refused = |result: io::Result<Region>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains("can't be on OverlayFS, which "), "{error}");
        };
        refused(builder(&role[0]).create("jobs"));
        refused(builder(&role[0]).open_or_create("jobs"));
        assert_eq!(fs::read_dir(&role[0]).unwrap().count(), 1);
        // A region that was made on another file system.
        refused(builder(&role[0]).open("lower"));
        let file = fs::File::options().read(true).write(true).open(Path::new(&role[0]).join("lower")).unwrap();
        refused(Region::builder().from_fd(file));
        return;
    }
    let directory = directory();
    let [lower, upper, work, all] = ["lower", "upper", "work", "all"].map(|name| directory.path().join(name));
    [&lower, &upper, &work, &all].iter().for_each(|path| fs::create_dir(path).unwrap());
    let mount = format!(
        "mount -t overlay overlay -o lowerdir={},upperdir={},workdir={} {}",
        lower.display(),
        upper.display(),
        work.display(),
        all.display()
    );
    let Some(runner) = with_mount(&mount) else { return };
    let region = builder(&lower).create("lower").unwrap();
    let runner: Vec<_> = runner.iter().map(String::as_str).collect();
    let mut actor = Actor::start_with(&runner, TEST, &[all.to_str().unwrap()], Stdio::null());
    assert!(actor.0.wait().unwrap().success());
    drop(region);
}

#[test]
fn a_lack_of_room_is_an_error_about_the_directory() {
    const TEST: &str = "region::processes::mounts::a_lack_of_room_is_an_error_about_the_directory";
    if let Some(role) = role() {
        let error = builder(&role[0]).bytes(1 << 20).create("jobs").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let (begin, sentence) =
            (format!("the region \"jobs\" in {}: its file system has ", role[0]), error.to_string());
        assert!(sentence.contains(&begin) && !sentence.contains("/dev/shm has"), "{sentence}");
        assert_eq!(fs::read_dir(&role[0]).unwrap().count(), 0);
        return;
    }
    let directory = directory();
    let path = directory.path().to_str().unwrap();
    let Some(runner) = with_mount(&format!("mount -t tmpfs -o size=256k tmpfs {path}")) else { return };
    let runner: Vec<_> = runner.iter().map(String::as_str).collect();
    let mut actor = Actor::start_with(&runner, TEST, &[path], Stdio::null());
    assert!(actor.0.wait().unwrap().success());
}

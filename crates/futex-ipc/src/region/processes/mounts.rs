//! Other mounts than usual: a missing `/proc`, file systems on which a region can't be, and full ones.

use super::*;

#[test]
fn regions_work_without_proc_except_that_they_are_not_passed_on() {
    const TEST: &str = "region::processes::mounts::regions_work_without_proc_except_that_they_are_not_passed_on";
    if let Some(role) = role() {
        assert!(!Path::new("/proc/self").exists());
        let heir = Region::builder().from_fd(io::stdin()).unwrap();
        assert_eq!(Region::builder().from_fd(io::stdin()).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        let named = builder(&role[0]).open_or_create("jobs").unwrap();
        let anonymous = Region::builder().anonymous().unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        for error in [anonymous.share().unwrap_err(), named.share().unwrap_err(), anonymous.send(&socket).unwrap_err()]
        {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("can't be opened again through /proc/thread-self/fd"), "{error}");
        }
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

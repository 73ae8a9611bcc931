//! The file system of a guest, and the script that is its first process.

use super::archive::Archive;
use super::parts::Part;
use super::programs::Programs;
use super::tools::Linker;
use crate::command;
use crate::workspace;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The begin of each line of the console that is for xtask.
pub(crate) const MARK: &str = "@@ ";

/// Limit for a program in a guest.
pub(crate) const BOUND: Duration = Duration::from_secs(300);

/// The first process. It makes the usual mounts and limits, and then runs the plan.
const INIT: &str = "\
#!/bin/busybox sh
/bin/busybox --install -s /bin 2> /dev/null
export PATH=/bin HOME=/root TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t devpts devpts /dev/pts
chmod 1777 /tmp
ip link set lo up
hostname guest
ulimit -Hn 524288
ulimit -Sn 1024
cd /root
run() {
    echo; echo \"@@ begin $1\"
    timeout -s KILL $2 sh -c \"$3\" < /dev/null 2>&1
    status=$?
    # Otherwise, the child processes of a killed program would run beside the next programs.
    test $status = 137 && kill -9 -1
    echo; echo \"@@ end $1 $status\"
}
echo; echo \"@@ up $(uname -r)\"
. /plan
echo; echo \"@@ done\"
poweroff -f
";

/// Programs from packages.
pub(crate) struct Commands {
    /// Linked statically.
    pub(crate) busybox: PathBuf,
    /// The one in busybox supports fewer kinds of namespaces.
    pub(crate) unshare: PathBuf,
}

/// What tests read of the workspace. Each file has the same path in the guest.
const FILES: [&str; 4] = [
    "crates/futex-cli/examples/relay/consumer.sh",
    "crates/futex-cli/examples/relay/producer.sh",
    "crates/futex-cli/examples/relay/run.sh",
    "docs/cli.md",
];

/// An archive with everything except the plan.
pub(crate) fn base(programs: &Programs, linker: &Linker, commands: &Commands) -> io::Result<Vec<u8>> {
    let mut archive = bare(INIT, &commands.busybox)?;
    archive.copy("/bin/unshare", &commands.unshare)?;
    for directory in ["/etc", "/proc", "/sys", "/tmp", "/root", "/dev"] {
        archive.directory(directory)?;
    }
    archive.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")?;
    archive.file("/etc/group", b"root:x:0:\nnogroup:x:65534:\n")?;
    for (path, from) in &programs.libraries {
        archive.copy(path, from)?;
    }
    let stripped = workspace::scratch_dir().join("stripped");
    fs::create_dir_all(workspace::scratch_dir())?;
    for program in programs.all() {
        // Debug information is most of a program, and the whole archive is in the guest's memory.
        let mut strip = linker.strip.command();
        command::run(strip.arg("--strip-debug").arg("-o").args([&stripped, program])).map_err(io::Error::other)?;
        archive.copy(&program.to_string_lossy(), &stripped)?;
    }
    for file in FILES {
        let path = workspace::root().join(file);
        archive.copy(&path.to_string_lossy(), &path)?;
    }
    archive.finish()
}

/// An archive that only shows that the guest boots.
pub(crate) fn trial(commands: &Commands) -> io::Result<Vec<u8>> {
    bare("#!/bin/busybox sh\n/bin/busybox echo '@@ up'\n/bin/busybox poweroff -f\n", &commands.busybox)?.finish()
}

fn bare(init: &str, busybox: &Path) -> io::Result<Archive<Vec<u8>>> {
    let mut archive = Archive::new(Vec::new());
    // The kernel opens it for the first process, which has not mounted anything yet.
    archive.character_device("/dev/console", 5, 1)?;
    archive.program("/init", init.as_bytes())?;
    archive.copy("/bin/busybox", busybox)?;
    Ok(archive)
}

/// An archive with the plan. It follows [`base`].
pub(crate) fn plan(parts: &[Part]) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new(Vec::new());
    archive.file("/plan", script(parts).as_bytes())?;
    archive.finish()
}

fn script(parts: &[Part]) -> String {
    let runs = parts.iter().flat_map(|part| &part.runs);
    (0..)
        .zip(runs)
        .map(|(number, run): (usize, _)| {
            format!("run {number} {} '{}'\n", BOUND.as_secs(), run.command.replace('\'', r"'\''"))
        })
        .collect()
}

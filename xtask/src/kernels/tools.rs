//! QEMU and linkers: installed on the machine, or unpacked from packages.

use super::kernel::Processor;
use super::packages::{self, Packages};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, and the root of its packages if it is not installed.
pub(crate) struct Tool {
    program: PathBuf,
    root: Option<PathBuf>,
}

impl Tool {
    fn new(name: &str, root: Option<&Path>) -> Option<Self> {
        match root {
            None => packages::on_path(name).map(|program| Self { program, root: None }),
            Some(root) => {
                let program = root.join("usr/bin").join(name);
                program.is_file().then(|| Self { program, root: Some(root.to_owned()) })
            }
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.root {
            command.env("LD_LIBRARY_PATH", libraries(root));
        }
        command
    }

    /// Directories of the program's files. Empty if the program finds them itself.
    pub(crate) fn files(&self, names: &[&str]) -> Vec<PathBuf> {
        let Some(root) = &self.root else { return Vec::new() };
        names.iter().map(|name| root.join("usr/share").join(name)).filter(|path| path.exists()).collect()
    }
}

/// QEMU for a processor.
pub(crate) fn qemu(packages: Option<&Packages>, processor: Processor) -> Result<Tool, String> {
    let name = format!("qemu-system-{}", processor.name());
    let package = match processor {
        Processor::X86_64 => "qemu-system-x86",
        Processor::Arm64 => "qemu-system-arm",
    };
    if let Some(tool) = Tool::new(&name, None) {
        return Ok(tool);
    }
    let missing = |reason: &str| format!("there is no {name} (apt-get install {package}){reason}");
    // An earlier run can have unpacked it.
    let unpacked = Tool::new(&name, Some(&packages::directory().join(package)));
    match (unpacked, packages) {
        (Some(tool), _) => Ok(tool),
        (None, None) => Err(missing("")),
        (None, Some(packages)) => {
            let root = packages.tool(package, &[package]).map_err(|error| missing(&format!(": {error}")))?;
            Tool::new(&name, Some(&root)).ok_or_else(|| missing(": the package does not have it"))
        }
    }
}

/// The tools that link programs for a processor.
pub(crate) struct Linker {
    /// The C compiler that `rustc` links with.
    pub(crate) cc: PathBuf,
    pub(crate) strip: Tool,
    /// The directory of the C library, unless it is the machine's own.
    pub(crate) libraries: Option<PathBuf>,
}

pub(crate) fn linker(packages: &Packages, processor: Processor) -> Result<Linker, String> {
    if processor.is_native() {
        let missing = || "there is no C compiler (apt-get install gcc libc6-dev)".to_owned();
        let cc = packages::on_path("cc").ok_or_else(missing)?;
        return Ok(Linker { cc, strip: Tool::new("strip", None).ok_or_else(missing)?, libraries: None });
    }
    if processor == Processor::X86_64 {
        return Err("xtask builds programs for x86-64 only on x86-64 machines".into());
    }
    let triple = format!("{}-linux-gnu", processor.name());
    let names = (format!("{triple}-gcc"), format!("{triple}-strip"));
    if let (Some(cc), Some(strip)) = (packages::on_path(&names.0), Tool::new(&names.1, None)) {
        return Ok(Linker { cc, strip, libraries: Some(Path::new("/usr").join(&triple).join("lib")) });
    }
    let (gcc, libc) = (format!("gcc-{triple}"), format!("libc6-dev-{}-cross", processor.architecture()));
    let missing = |error: String| format!("there is no {} (apt-get install {gcc} {libc}): {error}", names.0);
    let root = packages.tool(&gcc, &[&gcc, &libc]).map_err(missing)?;
    let strip = Tool::new(&names.1, Some(&root)).ok_or_else(|| missing("the package does not have it".into()))?;
    // `rustc` takes one program without arguments.
    let cc = root.join("cc");
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' --sysroot='{}' \"$@\"\n",
        libraries(&root).display(),
        root.join("usr/bin").join(&names.0).display(),
        root.display(),
    );
    write_program(&cc, &script).map_err(|error| format!("{} can't be written: {error}", cc.display()))?;
    Ok(Linker { cc, strip, libraries: Some(root.join("usr").join(&triple).join("lib")) })
}

pub(crate) fn write_program(path: &Path, script: &str) -> std::io::Result<()> {
    fs::write(path, script)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// The search path of the libraries below `root`.
fn libraries(root: &Path) -> PathBuf {
    let triple = format!("{}-linux-gnu", env::consts::ARCH);
    let directories = ["usr/lib", "lib"].map(|directory| root.join(directory).join(&triple));
    PathBuf::from(env::join_paths(directories).unwrap_or_else(|_| OsString::new()))
}

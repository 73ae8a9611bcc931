//! `cargo xtask kernels`: the tests pass on other kernels and processors.
//!
//! Each kernel boots in QEMU, with a file system that has only our programs, the C library and busybox.
//!
//! | file | contents |
//! |---|---|
//! | `kernel.rs` | the available kernels, and the backends that each must have |
//! | `parts.rs` | the rows of a kernel |
//! | `programs.rs` | builds the programs |
//! | `packages.rs` | the distribution's packages, in a cache |
//! | `tools.rs` | QEMU, and the linker for another processor |
//! | `guest.rs`, `archive.rs` | the file system of a guest |
//! | `machine.rs` | QEMU's command line, and the console |
//! | `watch.rs` | reads from the console how each row ends |

mod archive;
mod guest;
mod kernel;
mod machine;
mod packages;
mod parts;
mod programs;
mod tools;
mod watch;

use self::guest::Commands;
use self::kernel::{Kernel, Processor};
use self::machine::{Acceleration, Machine};
use self::packages::Packages;
use self::programs::Programs;
use self::tools::{Linker, Tool};
use self::watch::Watch;
use crate::command;
use crate::error::Error;
use crate::report::{self, Outcome, Report, Tests};
use crate::workspace;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Limit for a guest.
const BOUND: Duration = Duration::from_secs(45 * 60);

/// Like [`BOUND`], in the short form.
const SHORT_BOUND: Duration = Duration::from_secs(8 * 60);

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// List the available kernels and run none
    #[arg(long)]
    list: bool,
    /// Run this kernel, such as 6.1 or 6.12-arm64; can be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Run fewer programs on one kernel, in about two minutes
    #[arg(long)]
    short: bool,
    /// Add the kernels of this release of Debian, such as trixie-backports; can be repeated
    #[arg(long = "suite", value_name = "NAME")]
    suites: Vec<String>,
    /// Fail instead of skipping a kernel that can't be booted
    #[arg(long)]
    forbid_skips: bool,
    /// Download the packages for --short and run nothing
    #[arg(long)]
    fetch: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    if options.fetch {
        return Ok(fetch_short()?);
    }
    let packages = Packages::open(&options.suites)?;
    let all = kernel::all(&packages);
    if options.list {
        all.iter().for_each(list);
        return Ok(());
    }

    let mut lab = Lab { packages: &packages, processors: BTreeMap::new() };
    let mut reports = Vec::new();
    for kernel in choose(all, options)? {
        match lab.prepare(&kernel) {
            Ok(prepared) => reports.extend(prepared.run(&kernel, options.short)?),
            Err(reason) => {
                let outcome = if options.forbid_skips { Outcome::Failed(reason) } else { Outcome::Skipped(reason) };
                let report = Report { name: kernel.name(), outcome, time: Duration::ZERO, tests: Tests::default() };
                report.print();
                reports.push(report);
            }
        }
    }
    report::finish(&reports)?;
    if reports.iter().all(|report| matches!(report.outcome, Outcome::Skipped(_))) {
        return Err(Error::Failed("no kernel could be booted".into()));
    }
    Ok(())
}

/// Why the short form can't run without more packages, or `None` if it can.
pub(crate) fn missing() -> Option<String> {
    tools::qemu(None, Processor::X86_64).err().map(|reason| format!("{reason}, or: cargo xtask kernels --fetch"))
}

fn fetch_short() -> Result<(), String> {
    let packages = Packages::open(&[])?;
    let kernel = kernel::all(&packages).into_iter().find(|kernel| kernel.name() == kernel::SHORT);
    let kernel = kernel.ok_or_else(|| format!("there is no kernel {}", kernel::SHORT))?;
    image(&packages, &kernel)?;
    commands(&packages, kernel.processor)?;
    tools::qemu(Some(&packages), kernel.processor).map(drop)
}

fn list(kernel: &Kernel) {
    let usual = if kernel.is_usual() { "" } else { " (only by name)" };
    let package = kernel.package.as_deref().unwrap_or("not among this machine's packages");
    report::print(format_args!("{:<17} {package}{usual}", kernel.name()));
}

fn choose(all: Vec<Kernel>, options: &Options) -> Result<Vec<Kernel>, Error> {
    let short = [kernel::SHORT.to_owned()];
    let only = if options.short && options.only.is_empty() { &short[..] } else { &options.only };
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|kernel| kernel.name() == **name)) {
        let names: Vec<_> = all.iter().map(Kernel::name).collect();
        return Err(Error::Usage(format!("there is no kernel {unknown}; the kernels are {}", names.join(", "))));
    }
    let chosen = |kernel: &Kernel| if only.is_empty() { kernel.is_usual() } else { only.contains(&kernel.name()) };
    Ok(all.into_iter().filter(chosen).collect())
}

/// Prepares each processor once for all its kernels.
struct Lab<'a> {
    packages: &'a Packages,
    processors: BTreeMap<Processor, Result<Prepared, String>>,
}

struct Prepared {
    qemu: Tool,
    programs: Programs,
    /// The guest's file system without its plan.
    files: Vec<u8>,
    /// A file system that only shows that a guest boots.
    trial: Vec<u8>,
    acceleration: Option<Acceleration>,
}

/// A kernel that can boot.
struct Ready<'a> {
    prepared: &'a mut Prepared,
    image: PathBuf,
}

impl Lab<'_> {
    /// The error says what is missing.
    fn prepare(&mut self, kernel: &Kernel) -> Result<Ready<'_>, String> {
        let packages = self.packages;
        let image = image(packages, kernel)?;
        let prepared =
            self.processors.entry(kernel.processor).or_insert_with(|| Prepared::new(packages, kernel.processor));
        let prepared = prepared.as_mut().map_err(|reason| reason.clone())?;
        Ok(Ready { prepared, image })
    }
}

fn image(packages: &Packages, kernel: &Kernel) -> Result<PathBuf, String> {
    let architecture = kernel.processor.architecture();
    let package = kernel.package.as_ref().ok_or_else(|| {
        let (major, minor) = kernel.series;
        format!(
            "there is no package linux-image-{major}.{minor}…-cloud-{architecture}; --suite adds other releases of Debian"
        )
    })?;
    // Since Linux 6.19 the package only depends on the one with the kernel, which is beside its modules.
    for package in [package.clone(), package.replacen("linux-image-", "linux-binary-", 1)] {
        let root = packages.unpacked(&format!("{package}:{architecture}"))?;
        let paths =
            |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten().map(|file| file.path());
        let mut files = paths(root.join("boot")).chain(paths(root.join("usr/lib/modules")).flat_map(paths));
        let is_image =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz"));
        if let Some(image) = files.find(is_image) {
            return Ok(image);
        }
    }
    Err(format!("{package} has no kernel"))
}

fn commands(packages: &Packages, processor: Processor) -> Result<Commands, String> {
    let find = |package: &str, name: &str| {
        let root = packages.unpacked(&format!("{package}:{}", processor.architecture()))?;
        let mut places = ["bin", "usr/bin"].iter().map(|place| root.join(place).join(name));
        places.find(|path| path.exists()).ok_or_else(|| format!("{package} has no {name}"))
    };
    Ok(Commands { busybox: find("busybox-static", "busybox")?, unshare: find("util-linux", "unshare")? })
}

impl Prepared {
    fn new(packages: &Packages, processor: Processor) -> Result<Self, String> {
        let qemu = tools::qemu(Some(packages), processor)?;
        let commands = commands(packages, processor)?;
        let linker: Linker = tools::linker(packages, processor)?;
        let programs = programs::build(processor, &linker)?;
        let failed = |error: io::Error| format!("the guest's file system can't be made: {error}");
        let files = guest::base(&programs, &linker, &commands).map_err(failed)?;
        let trial = guest::trial(&commands).map_err(failed)?;
        Ok(Self { qemu, programs, files, trial, acceleration: None })
    }

    /// KVM if a guest boots with it, and emulation otherwise.
    fn acceleration(&mut self, processor: Processor, kernel: &Path, files: &Path) -> io::Result<Acceleration> {
        if let Some(known) = self.acceleration {
            return Ok(known);
        }
        let mut acceleration = Acceleration::Emulation;
        if machine::may_have_kvm(processor) {
            fs::write(files, &self.trial)?;
            let kvm = Machine { qemu: &self.qemu, processor, acceleration: Acceleration::Kvm, kernel, files };
            if kvm.boots() {
                acceleration = Acceleration::Kvm;
            }
        }
        self.acceleration = Some(acceleration);
        Ok(acceleration)
    }
}

impl Ready<'_> {
    fn run(self, kernel: &Kernel, short: bool) -> io::Result<Vec<Report>> {
        let name = kernel.name();
        let files = packages::directory().join(format!("{name}.cpio"));
        let processor = kernel.processor;
        let acceleration = self.prepared.acceleration(processor, &self.image, &files)?;
        let parts = parts::parts(kernel, &self.prepared.programs, short);
        // The kernel unpacks several archives in one file.
        fs::write(&files, [&self.prepared.files[..], &guest::plan(&parts)?].concat())?;

        let log = command::create_log(&workspace::log(&format!("kernel-{name}")))?;
        let mut watch = Watch::new(&name, &parts, log);
        let machine =
            Machine { qemu: &self.prepared.qemu, processor, acceleration, kernel: &self.image, files: &files };
        let end = machine.run(if short { SHORT_BOUND } else { BOUND }, |line| watch.line(line))?;
        fs::remove_file(&files)?;
        Ok(watch.finish(end, acceleration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernels() -> Vec<Kernel> {
        let kernel = |series, processor| Kernel { series, processor, package: None };
        vec![
            kernel((6, 1), Processor::X86_64),
            kernel((7, 0), Processor::X86_64),
            kernel((6, 1), Processor::Arm64),
            kernel((6, 12), Processor::Arm64),
        ]
    }

    fn chosen(short: bool, only: &[&str]) -> Result<Vec<String>, Error> {
        let only = only.iter().map(|&name| name.to_owned()).collect();
        let options = Options { short, only, ..Options::default() };
        Ok(choose(kernels(), &options)?.iter().map(Kernel::name).collect())
    }

    #[test]
    fn one_kernel_on_arm_runs_by_default_and_the_others_by_name() {
        assert_eq!(chosen(false, &[]).unwrap(), ["6.1", "7.0", "6.12-arm64"]);
        assert_eq!(chosen(false, &["6.1-arm64", "7.0"]).unwrap(), ["7.0", "6.1-arm64"]);
        assert_eq!(chosen(true, &[]).unwrap(), ["6.1"]);
        assert_eq!(chosen(true, &["7.0"]).unwrap(), ["7.0"]);
    }

    #[test]
    fn an_unknown_kernel_is_an_error_that_lists_the_kernels() {
        let Err(Error::Usage(message)) = chosen(false, &["2.6"]) else { panic!("no error") };
        assert_eq!(message, "there is no kernel 2.6; the kernels are 6.1, 7.0, 6.1-arm64, 6.12-arm64");
    }
}

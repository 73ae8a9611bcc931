//! `cargo xtask kernels`: the tests pass on other kernels and processors.
//!
//! Each kernel boots in QEMU, with a file system that has nothing but our programs, the C library and busybox.
//!
//! | file | what is in it |
//! |---|---|
//! | `kernel.rs` | the kernels that can be had, and what they are known to have |
//! | `parts.rs` | what runs on a kernel, as rows |
//! | `programs.rs` | builds what runs |
//! | `packages.rs` | the distribution's packages, in a cache |
//! | `tools.rs` | QEMU, and the linker for another processor |
//! | `guest.rs`, `archive.rs` | the file system of a guest |
//! | `machine.rs` | QEMU's command line, and the console |
//! | `watch.rs` | reads from the console how the rows end |

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
use crate::error::Error;
use crate::report::{self, Outcome, Report, Tests};
use crate::workspace;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const USAGE: &str = "\
cargo xtask kernels [OPTIONS]
    Boots other kernels in QEMU, and runs the tests and an example in each: between processes on each backend that the
    kernel has. Kernels, and QEMU if the machine lacks it, are packages of Debian, which apt-get brings into target/kernels
    without root. For a kernel on 64-bit ARM: rustup target add aarch64-unknown-linux-gnu.
        --list         show the kernels that can be had, and run none
        --only NAME    only this kernel, such as 6.1 or 6.12-arm64; may be given several times
        --short        one kernel, and fewer programs: about two minutes
        --suite NAME   also the kernels of this release of Debian, by its code name, such as trixie-backports; may be given
                       several times
        --forbid-skips a kernel that can't be booted is a failure
        --fetch        bring the packages of the short form, and run nothing
";

/// How long a guest may run.
const BOUND: Duration = Duration::from_secs(45 * 60);

/// As [`BOUND`], in the short form.
const SHORT_BOUND: Duration = Duration::from_secs(8 * 60);

#[derive(Debug, Default)]
struct Options {
    list: bool,
    fetch: bool,
    short: bool,
    forbid_skips: bool,
    only: Vec<String>,
    suites: Vec<String>,
}

fn parse(mut args: lexopt::Parser) -> Result<Options, Error> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Long("list") => options.list = true,
            Long("fetch") => options.fetch = true,
            Long("short") => options.short = true,
            Long("forbid-skips") => options.forbid_skips = true,
            Long("only") => options.only.push(args.value()?.string()?),
            Long("suite") => options.suites.push(args.value()?.string()?),
            Short('h') | Long("help") => return Err(Error::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

pub(crate) fn run(args: lexopt::Parser) -> Result<(), Error> {
    let options = parse(args)?;
    if options.fetch {
        return fetch_short().map_err(Error::Failed);
    }
    let packages = Packages::open(&options.suites).map_err(Error::Failed)?;
    let all = kernel::all(&packages);
    if options.list {
        return list(&all);
    }

    let mut lab = Lab { packages: &packages, processors: BTreeMap::new() };
    let mut reports = Vec::new();
    for kernel in choose(all, &options)? {
        let of_kernel = match lab.prepare(&kernel) {
            Ok(prepared) => prepared.run(&kernel, options.short)?,
            Err(reason) => {
                let outcome = if options.forbid_skips { Outcome::Failed(reason) } else { Outcome::Skipped(reason) };
                let report = Report { name: kernel.name(), outcome, time: Duration::ZERO, tests: Tests::default() };
                writeln!(io::stdout(), "{report}")?;
                vec![report]
            }
        };
        reports.extend(of_kernel);
    }
    write!(io::stdout(), "{}", report::summary(&reports))?;
    if reports.iter().any(|report| matches!(report.outcome, Outcome::Failed(_))) {
        return Err(Error::Told);
    }
    if reports.iter().all(|report| matches!(report.outcome, Outcome::Skipped(_))) {
        return Err(Error::Failed("no kernel could be booted".into()));
    }
    Ok(())
}

/// Why the short form can't run here without more packages; `None` if it can.
pub(crate) fn missing() -> Option<String> {
    tools::qemu(None, Processor::X86_64).err().map(|reason| format!("{reason}, or: cargo xtask kernels --fetch"))
}

fn fetch_short() -> Result<(), String> {
    let packages = Packages::open(&[])?;
    let kernel = kernel::all(&packages).into_iter().find(|kernel| kernel.name() == kernel::SHORT);
    let kernel = kernel.ok_or("there is no such kernel")?;
    image(&packages, &kernel)?;
    commands(&packages, kernel.processor)?;
    tools::qemu(Some(&packages), kernel.processor).map(drop)
}

fn list(kernels: &[Kernel]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    for kernel in kernels {
        let usual = if kernel.is_usual() { "" } else { " (if asked for by name)" };
        let package = kernel.package.as_deref().unwrap_or("not among this machine's packages");
        writeln!(stdout, "{:<17} {package}{usual}", kernel.name())?;
    }
    Ok(())
}

fn choose(all: Vec<Kernel>, options: &Options) -> Result<Vec<Kernel>, Error> {
    let short = [kernel::SHORT.to_owned()];
    let only = if options.short && options.only.is_empty() { &short[..] } else { &options.only };
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|kernel| kernel.name() == **name)) {
        let names: Vec<_> = all.iter().map(Kernel::name).collect();
        return Err(Error::Usage(format!("there is no kernel {unknown}; there are {}", names.join(", "))));
    }
    let chosen = |kernel: &Kernel| if only.is_empty() { kernel.is_usual() } else { only.contains(&kernel.name()) };
    Ok(all.into_iter().filter(chosen).collect())
}

/// What is made once for all kernels of a processor.
struct Lab<'a> {
    packages: &'a Packages,
    processors: BTreeMap<Processor, Result<Prepared, String>>,
}

struct Prepared {
    qemu: Tool,
    programs: Programs,
    /// The guest's file system, but for what is to run.
    files: Vec<u8>,
    /// One that shows whether a guest boots.
    trial: Vec<u8>,
    acceleration: Option<Acceleration>,
}

/// What a kernel is run with.
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
        format!("this machine's packages have no linux-image-{major}.{minor}…-cloud-{architecture}: see --suite")
    })?;
    let boot = packages.unpacked(&format!("{package}:{architecture}"))?.join("boot");
    let files = fs::read_dir(&boot).map_err(|error| format!("{}: {error}", boot.display()))?;
    let mut paths = files.filter_map(|file| file.ok().map(|file| file.path()));
    let is_image =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz"));
    paths.find(is_image).ok_or_else(|| format!("there is no kernel in {package}"))
}

fn commands(packages: &Packages, processor: Processor) -> Result<Commands, String> {
    let find = |package: &str, name: &str| {
        let root = packages.unpacked(&format!("{package}:{}", processor.architecture()))?;
        let mut places = ["bin", "usr/bin"].iter().map(|place| root.join(place).join(name));
        places.find(|path| path.exists()).ok_or_else(|| format!("there is no {name} in {package}"))
    };
    Ok(Commands { busybox: find("busybox-static", "busybox")?, unshare: find("util-linux", "unshare")? })
}

impl Prepared {
    fn new(packages: &Packages, processor: Processor) -> Result<Self, String> {
        let qemu = tools::qemu(Some(packages), processor)?;
        let commands = commands(packages, processor)?;
        let linker: Linker = tools::linker(packages, processor)?;
        let programs = programs::build(processor, &linker)?;
        let failed = |error: io::Error| format!("the guest's files can't be put together: {error}");
        let files = guest::base(&programs, &linker, &commands).map_err(failed)?;
        let trial = guest::trial(&commands).map_err(failed)?;
        Ok(Self { qemu, programs, files, trial, acceleration: None })
    }

    /// Emulation, unless a guest was seen to boot with KVM.
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
        // The kernel unpacks archives that follow each other.
        fs::write(&files, [&self.prepared.files[..], &guest::plan(&parts)?].concat())?;

        let log = workspace::scratch_dir().join("log").join(format!("kernel-{name}.txt"));
        fs::create_dir_all(workspace::scratch_dir().join("log"))?;
        let mut watch = Watch::new(&name, &parts, fs::File::create(&log)?);
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

    fn chosen(args: &[&str]) -> Result<Vec<String>, Error> {
        let options = parse(lexopt::Parser::from_args(args))?;
        Ok(choose(kernels(), &options)?.iter().map(Kernel::name).collect())
    }

    #[test]
    fn one_kernel_on_arm_is_usual_and_the_others_are_run_if_asked_for() {
        assert_eq!(chosen(&[]).unwrap(), ["6.1", "7.0", "6.12-arm64"]);
        assert_eq!(chosen(&["--only", "6.1-arm64", "--only", "7.0"]).unwrap(), ["7.0", "6.1-arm64"]);
        assert_eq!(chosen(&["--short"]).unwrap(), ["6.1"]);
        assert_eq!(chosen(&["--short", "--only", "7.0"]).unwrap(), ["7.0"]);
    }

    #[test]
    fn an_unknown_kernel_is_an_error_that_names_the_kernels() {
        let Err(Error::Usage(message)) = chosen(&["--only", "2.6"]) else { panic!("no error") };
        assert_eq!(message, "there is no kernel 2.6; there are 6.1, 7.0, 6.1-arm64, 6.12-arm64");
    }
}

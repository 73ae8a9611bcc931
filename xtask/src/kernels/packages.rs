//! The distribution's packages: found, downloaded and unpacked by its own client, without root, into a cache.

use crate::workspace;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How old the lists of packages may be.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The package manager, with lists and a cache of our own.
pub(crate) struct Packages {
    cache: PathBuf,
    config: PathBuf,
}

impl Packages {
    /// Reads the lists of packages, or uses those that an earlier run read.
    ///
    /// `suites` are further releases of the distribution, by their code names. What the machine's own release has is
    /// preferred to them.
    pub(crate) fn open(suites: &[String]) -> Result<Self, String> {
        if output(Command::new("apt-get").arg("--version")).is_err() {
            return Err("there is no apt-get here, whose packages of kernels and tools are used".into());
        }
        let cache = directory();
        // Lists of other suites are other lists.
        let apt = cache.join(format!("apt{}", suites.iter().map(|suite| format!("-{suite}")).collect::<String>()));
        let packages = Self { config: apt.join("apt.conf"), cache };
        packages.configure(&apt, suites).map_err(|error| format!("{} can't be written: {error}", apt.display()))?;
        packages.update(&apt.join("updated"))?;
        Ok(packages)
    }

    fn configure(&self, apt: &Path, suites: &[String]) -> std::io::Result<()> {
        for directory in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.join(directory))?;
        }
        let apt = apt.display();
        let mut config = format!(
            "APT::Architectures {{ \"amd64\"; \"arm64\"; }};\nAcquire::Languages \"none\";\nDebug::NoLocking \"true\";\n\
             Dir::State::Lists \"{apt}/lists\";\nDir::Cache \"{apt}/cache\";\nDir::Etc::Preferences \"{apt}/preferences\";\n"
        );
        // Root's client would go on as another user, who may not write here.
        config.push_str("APT::Sandbox::User \"root\";\n");
        let pins: Vec<_> =
            suites.iter().map(|suite| format!("Package: *\nPin: release n={suite}\nPin-Priority: 100\n")).collect();
        fs::write(self.config.with_file_name("preferences"), pins.join("\n"))?;
        if let Some(sources) = sources(suites) {
            fs::write(self.config.with_file_name("sources.list"), sources)?;
            config.push_str(&format!(
                "Dir::Etc::SourceList \"{apt}/sources.list\";\nDir::Etc::SourceParts \"/dev/null\";\n"
            ));
        }
        fs::write(&self.config, config)
    }

    fn update(&self, stamp: &Path) -> Result<(), String> {
        let fresh = fs::metadata(stamp).and_then(|stamp| stamp.modified());
        if fresh.is_ok_and(|updated| updated.elapsed().is_ok_and(|age| age < FRESH)) {
            return Ok(());
        }
        match output(self.apt("apt-get").arg("update")) {
            Ok(_) => fs::write(stamp, "").map_err(|error| format!("{} can't be written: {error}", stamp.display())),
            // What an earlier run read will do.
            Err(_) if stamp.exists() => Ok(()),
            Err(error) => Err(format!("apt-get can't read the lists of packages: {error}")),
        }
    }

    /// The names of the packages that begin and end so.
    pub(crate) fn names(&self, begin: &str, end: &str) -> Vec<String> {
        let pattern = format!("^{begin}.*{end}$");
        let list = output(self.apt("apt-cache").args(["search", "--names-only", &pattern])).unwrap_or_default();
        let mut names: Vec<_> =
            list.lines().filter_map(|line| line.split(" - ").next()).map(|name| name.trim().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The directory into which a package is unpacked, without what it depends on.
    pub(crate) fn unpacked(&self, package: &str) -> Result<PathBuf, String> {
        let failed = |error: String| format!("apt-get can't download {package}: {error}");
        // 'address' file length digest
        let line = output(self.apt("apt-get").args(["download", "--print-uris", package])).map_err(failed)?;
        let file = line.split_whitespace().nth(1).ok_or_else(|| failed("it has no file".into()))?;
        let to = self.cache.join("packages").join(file.trim_end_matches(".deb"));
        if !to.exists() {
            let downloads = self.cache.join("downloads");
            make(&downloads)?;
            output(self.apt("apt-get").args(["download", package]).current_dir(&downloads)).map_err(failed)?;
            let fresh = self.cache.join("packages").join("fresh");
            empty(&fresh)?;
            unpack(&downloads.join(file), &fresh)?;
            fs::rename(&fresh, &to).map_err(|error| format!("{} can't be made: {error}", to.display()))?;
            // It is unpacked; the next run needs it no more.
            let _ = fs::remove_file(downloads.join(file));
        }
        Ok(to)
    }

    /// The directory into which packages are unpacked with all that they depend on and that this machine lacks.
    pub(crate) fn tool(&self, name: &str, packages: &[&str]) -> Result<PathBuf, String> {
        let to = self.cache.join(name);
        if to.exists() {
            return Ok(to);
        }
        let failed = |error: String| format!("apt-get can't download {}: {error}", packages.join(" "));
        let archives = self.cache.join("downloads").join(name);
        empty(&archives)?;
        make(&archives.join("partial"))?;
        let mut apt = self.apt("apt-get");
        apt.args(["install", "--yes", "--download-only", "--no-install-recommends", "-o"]);
        apt.arg(format!("Dir::Cache::Archives={}", archives.display())).args(packages);
        output(&mut apt).map_err(failed)?;
        let fresh = self.cache.join("packages").join("fresh");
        empty(&fresh)?;
        for entry in fs::read_dir(&archives).map_err(|error| failed(error.to_string()))? {
            let path = entry.map_err(|error| failed(error.to_string()))?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            // The C library can't be newer than the loader that the machine has.
            if file.ends_with(".deb") && !file.starts_with("libc6_") {
                unpack(&path, &fresh)?;
            }
        }
        fs::rename(&fresh, &to).map_err(|error| format!("{} can't be made: {error}", to.display()))?;
        let _ = fs::remove_dir_all(&archives);
        Ok(to)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C");
        command
    }
}

/// Where everything about other kernels is kept.
pub(crate) fn directory() -> PathBuf {
    workspace::target_dir().join("kernels")
}

/// The machine's sources and further suites of the same archive; `None` if there are none to add.
fn sources(suites: &[String]) -> Option<String> {
    const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

    if suites.is_empty() {
        return None;
    }
    let list = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
        "Origin: Debian",
    ]));
    let mut lines: Vec<_> = list.unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    lines.dedup();
    let archive = lines.iter().find(|line| !line.contains("-security") && !line.contains("-backports"))?.clone();
    let archive = archive.split(' ').next()?;
    lines.extend(suites.iter().map(|suite| format!("{archive} {suite} main")));
    let keys = if Path::new(KEYS).exists() { format!("[signed-by={KEYS}] ") } else { String::new() };
    Some(lines.iter().map(|line| format!("deb {keys}{line}\n")).collect())
}

fn unpack(package: &Path, to: &Path) -> Result<(), String> {
    output(Command::new("dpkg-deb").arg("-x").args([package, to]))
        .map(drop)
        .map_err(|error| format!("{} can't be unpacked: {error}", package.display()))
}

fn make(directory: &Path) -> Result<(), String> {
    fs::create_dir_all(directory).map_err(|error| format!("{} can't be made: {error}", directory.display()))
}

/// Makes an empty directory.
fn empty(directory: &Path) -> Result<(), String> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| format!("{} can't be removed: {error}", directory.display()))?;
    }
    make(directory)
}

/// The standard output of a command that succeeds; otherwise the last line of its errors.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(errors.trim().lines().last().map_or_else(|| output.status.to_string(), str::to_owned))
}

/// Where a program lies on this machine.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(program)).find(|path| path.is_file())
}

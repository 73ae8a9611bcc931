//! Debian's packages: apt-get finds and downloads them into a cache, without root.

use crate::command::stdout;
use crate::scratch::make_empty;
use crate::workspace;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Age at which the lists of packages are updated.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The package manager, with lists and a cache for xtask.
pub(crate) struct Packages {
    cache: PathBuf,
    config: PathBuf,
}

impl Packages {
    /// Downloads the lists of packages, unless an earlier run has.
    ///
    /// `suites` are the code names of further releases of Debian. The packages of the machine's own release are preferred.
    pub(crate) fn open(suites: &[String]) -> Result<Self, String> {
        if output(Command::new("apt-get").arg("--version")).is_err() {
            return Err("there is no apt-get, which downloads kernels and tools".into());
        }
        let cache = directory();
        // Each set of suites has its own lists.
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
        // If root runs apt-get, it changes to another user, who can't write to this directory.
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
            // The lists of an earlier run are good enough.
            Err(_) if stamp.exists() => Ok(()),
            Err(error) => Err(format!("apt-get can't download the lists of packages: {error}")),
        }
    }

    /// The names of the packages with this begin and end.
    pub(crate) fn names(&self, begin: &str, end: &str) -> Vec<String> {
        let pattern = format!("^{begin}.*{end}$");
        let list = output(self.apt("apt-cache").args(["search", "--names-only", &pattern])).unwrap_or_default();
        let mut names: Vec<_> =
            list.lines().filter_map(|line| line.split(" - ").next()).map(|name| name.trim().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Unpacks a package without its dependencies, and returns the directory.
    pub(crate) fn unpacked(&self, package: &str) -> Result<PathBuf, String> {
        let failed = |error: String| format!("apt-get can't download {package}: {error}");
        // 'address' file length digest
        let line = output(self.apt("apt-get").args(["download", "--print-uris", package])).map_err(failed)?;
        let file = line.split_whitespace().nth(1).ok_or_else(|| failed("the package has no file".into()))?;
        let to = self.cache.join("packages").join(file.trim_end_matches(".deb"));
        if !to.exists() {
            let downloads = self.cache.join("downloads");
            fs::create_dir_all(&downloads).map_err(|error| failed(error.to_string()))?;
            output(self.apt("apt-get").args(["download", package]).current_dir(&downloads)).map_err(failed)?;
            let fresh = self.cache.join("packages").join("fresh");
            make_empty(&fresh)?;
            unpack(&downloads.join(file), &fresh)?;
            fs::rename(&fresh, &to).map_err(|error| format!("{} can't be made: {error}", to.display()))?;
            // The next run uses the unpacked files.
            let _ = fs::remove_file(downloads.join(file));
        }
        Ok(to)
    }

    /// Unpacks packages with those of their dependencies that are not installed, and returns the directory.
    pub(crate) fn tool(&self, name: &str, packages: &[&str]) -> Result<PathBuf, String> {
        let to = self.cache.join(name);
        if to.exists() {
            return Ok(to);
        }
        let failed = |error: String| format!("apt-get can't download {}: {error}", packages.join(" "));
        let archives = self.cache.join("downloads").join(name);
        make_empty(&archives.join("partial"))?;
        let mut apt = self.apt("apt-get");
        apt.args(["install", "--yes", "--download-only", "--no-install-recommends", "-o"]);
        apt.arg(format!("Dir::Cache::Archives={}", archives.display())).args(packages);
        output(&mut apt).map_err(failed)?;
        let fresh = self.cache.join("packages").join("fresh");
        make_empty(&fresh)?;
        for entry in fs::read_dir(&archives).map_err(|error| failed(error.to_string()))? {
            let path = entry.map_err(|error| failed(error.to_string()))?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            // The C library must be as old as the machine's loader, so the machine's own is used.
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

/// The directory of everything for other kernels.
pub(crate) fn directory() -> PathBuf {
    workspace::target_dir().join("kernels")
}

/// The machine's sources and further suites from the same archive, or `None` if there are no further suites.
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

/// The standard output of a command. The error is its last line, because it becomes part of a row's line.
fn output(command: &mut Command) -> Result<String, String> {
    stdout(command).map_err(|errors| errors.lines().last().unwrap_or_default().to_owned())
}

/// The path of a program that is installed on this machine.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(program)).find(|path| path.is_file())
}

//! The available kernels, and the backends that each must have.

use super::packages::Packages;
use std::env::consts;

/// A processor that kernels are booted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Processor {
    X86_64,
    Arm64,
}

impl Processor {
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];

    /// Debian's name.
    pub(crate) fn architecture(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name in Rust and QEMU.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// The Rust target of Linux with the GNU C library.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// True for the processor of this machine.
    pub(crate) fn is_native(self) -> bool {
        consts::ARCH == self.name()
    }
}

/// The newest available kernel of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(crate) series: (u32, u32),
    pub(crate) processor: Processor,
    /// `None` if no package has a kernel of the series.
    pub(crate) package: Option<String>,
}

/// Kernels that run by default. A kernel without a package is reported as skipped.
const USUAL: [((u32, u32), Processor); 3] =
    [((6, 1), Processor::X86_64), ((6, 12), Processor::X86_64), ((6, 12), Processor::Arm64)];

/// The kernel of the short form. The library chooses another backend there than on a current kernel.
pub(crate) const SHORT: &str = "6.1";

/// The oldest kernel that Debian and the tests support.
const OLDEST: (u32, u32) = (5, 10);

impl Kernel {
    /// The name for `--only`.
    pub(crate) fn name(&self) -> String {
        let (major, minor) = self.series;
        match self.processor {
            Processor::X86_64 => format!("{major}.{minor}"),
            Processor::Arm64 => format!("{major}.{minor}-arm64"),
        }
    }

    /// True if it runs by default: on ARM, one kernel does.
    pub(crate) fn is_usual(&self) -> bool {
        self.processor == Processor::X86_64 || USUAL.contains(&(self.series, self.processor))
    }

    /// The backends that the kernel has, in the order in which the library probes them.
    pub(crate) fn backends(&self) -> &'static [&'static str] {
        let all = &["uring", "waitv", "thread"];
        match self.series {
            (major, minor) if (major, minor) >= (6, 7) => all,
            (major, minor) if (major, minor) >= (5, 16) => &all[1..],
            _ => &all[2..],
        }
    }

    /// The reason that the library must give for each backend that the kernel lacks.
    pub(crate) fn reasons(&self) -> Vec<&'static str> {
        let missing = 3 - self.backends().len();
        [
            "uring: there are no futex operations in this io_uring (Linux 6.7 and later have them, on 64-bit processors)",
            "waitv: futex_waitv is not available: Function not implemented (os error 38)",
        ][..missing]
            .to_vec()
    }
}

/// All available kernels and all that run by default, in order of their processors and series.
pub(crate) fn all(packages: &Packages) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for processor in Processor::ALL {
        let end = format!("-cloud-{}", processor.architecture());
        for name in packages.names("linux-image-", &end) {
            if let Some(series) = name.strip_suffix(&end).and_then(series) {
                keep_newest(&mut kernels, Kernel { series, processor, package: Some(name) });
            }
        }
    }
    for (series, processor) in USUAL {
        if !kernels.iter().any(|kernel| (kernel.series, kernel.processor) == (series, processor)) {
            kernels.push(Kernel { series, processor, package: None });
        }
    }
    kernels.retain(|kernel| kernel.series >= OLDEST);
    kernels.sort_by_key(|kernel| (kernel.processor, kernel.series));
    kernels
}

/// The series of a kernel's package, or `None` for a package that only depends on a kernel.
fn series(package: &str) -> Option<(u32, u32)> {
    match numbers(package.strip_prefix("linux-image-")?)[..] {
        [major, minor, _, ..] => Some((major, minor)),
        _ => None,
    }
}

fn keep_newest(kernels: &mut Vec<Kernel>, kernel: Kernel) {
    match kernels.iter_mut().find(|known| (known.series, known.processor) == (kernel.series, kernel.processor)) {
        Some(known) => {
            let age = |kernel: &Kernel| kernel.package.as_deref().map(numbers);
            if age(known) < age(&kernel) {
                *known = kernel;
            }
        }
        None => kernels.push(kernel),
    }
}

fn numbers(text: &str) -> Vec<u32> {
    text.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(package: &str) -> Kernel {
        let series = series(package.strip_suffix("-cloud-amd64").unwrap()).unwrap();
        Kernel { series, processor: Processor::X86_64, package: Some(package.to_owned()) }
    }

    #[test]
    fn the_newest_kernel_of_a_series_is_chosen() {
        let packages = ["6.1.0-9", "6.1.0-56", "6.12.100+deb12", "6.12.99+deb12", "6.1.0-0.deb11.60"];
        let mut kernels = Vec::new();
        for package in packages {
            keep_newest(&mut kernels, kernel(&format!("linux-image-{package}-cloud-amd64")));
        }
        let found: Vec<_> = kernels.iter().map(|kernel| (kernel.name(), kernel.package.clone().unwrap())).collect();
        let expected = [
            ("6.1".to_owned(), "linux-image-6.1.0-56-cloud-amd64".to_owned()),
            ("6.12".to_owned(), "linux-image-6.12.100+deb12-cloud-amd64".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_package_without_a_kernel_has_no_series() {
        for package in ["linux-image-cloud", "linux-image-6.12-cloud", "linux-headers-6.12.1"] {
            assert_eq!(series(package.strip_suffix("-cloud").unwrap_or(package)), None);
        }
    }

    #[test]
    fn a_kernel_has_the_backends_of_its_version() {
        let backends = |version: &str| kernel(&format!("linux-image-{version}.0-1-cloud-amd64")).backends();
        assert_eq!(backends("5.10"), ["thread"]);
        assert_eq!(backends("5.16"), ["waitv", "thread"]);
        assert_eq!(backends("6.1"), ["waitv", "thread"]);
        assert_eq!(backends("6.7"), ["uring", "waitv", "thread"]);
        assert_eq!(backends("7.0"), ["uring", "waitv", "thread"]);
        assert_eq!(kernel("linux-image-5.10.0-1-cloud-amd64").reasons().len(), 2);
        assert!(kernel("linux-image-6.12.0-1-cloud-amd64").reasons().is_empty());
    }
}

//! The documents of the workspace. Doctests compile and run their Rust code, so that it stays correct.

#[cfg(doctest)]
macro_rules! documents {
    ($($name:ident: $path:literal),* $(,)?) => {
        $(
            #[doc = include_str!($path)]
            mod $name {}
        )*
    };
}

#[cfg(doctest)]
documents! {
    readme: "../../../README.md",
    architecture: "../../../docs/architecture.md",
    guide: "../../../docs/guide.md",
    guide_zh: "../../../docs/guide.zh.md",
    kernel_support: "../../../docs/kernel-support.md",
    memory_ordering: "../../../docs/memory-ordering.md",
    safety: "../../../docs/safety.md",
    changelog: "../../../CHANGELOG.md",
    futex_sys: "../../futex-sys/README.md",
    futex_core: "../../futex-core/README.md",
    futex_tokio: "../../futex-tokio/README.md",
}

#[cfg(all(doctest, feature = "ipc"))]
documents! {
    ipc: "../../../docs/ipc.md",
    ipc_zh: "../../../docs/ipc.zh.md",
    futex_ipc: "../../futex-ipc/README.md",
}

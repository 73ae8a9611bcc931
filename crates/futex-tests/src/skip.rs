//! Tests that can't run everywhere.

/// Prints the reason why a test can't run here.
///
/// # Panics
///
/// If the environment variable `FUTEX_TESTS_FORBID_SKIPS` is set, as in CI.
pub fn skip(reason: &str) {
    assert!(
        std::env::var_os("FUTEX_TESTS_FORBID_SKIPS").is_none(),
        "this test can't run here, and FUTEX_TESTS_FORBID_SKIPS forbids to skip it: {reason}"
    );
    eprintln!("SKIPPED: {reason}");
}

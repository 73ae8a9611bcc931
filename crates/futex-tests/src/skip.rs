//! Tests that can't run everywhere.

/// Tells that a test can't run here, and why. CI sets `FUTEX_TESTS_FORBID_SKIPS`, which makes it a failure.
///
/// # Panics
///
/// Where skipping is forbidden.
pub fn skip(reason: &str) {
    assert!(
        std::env::var_os("FUTEX_TESTS_FORBID_SKIPS").is_none(),
        "this test can't run here, and FUTEX_TESTS_FORBID_SKIPS forbids to skip it: {reason}"
    );
    eprintln!("SKIPPED: {reason}");
}

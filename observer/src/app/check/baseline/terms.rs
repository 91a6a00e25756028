//! On which terms numbers are held against a baseline.

/// Fewest connections from which on shares of them are compared.
pub const FEWEST: u64 = 20;

/// How numbers are held against a baseline.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Percent by which a number may be worse.
    pub tolerance: f64,
    /// Whether estimates decide too.
    pub allow_estimates: bool,
    /// Whether it was said how many connections are enough, so that there may be far fewer than before.
    pub fewer: bool,
}

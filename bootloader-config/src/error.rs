//! The crate's error type.

use core::fmt;

/// Why an environment or a slot state could not be read or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Neither copy of the environment has a right check sum.
    NoValidCopy,
    /// A raw copy handed in is not [`crate::layout::ENV_SIZE`] bytes long.
    CopySize {
        /// Length that was handed in.
        got: usize,
    },
    /// The variable's name is empty, too long, or has a byte that a name cannot have.
    VariableName,
    /// The variable's value has a zero byte.
    VariableValue,
    /// The variables do not fit one copy of the environment.
    EnvironmentFull,
    /// The confirmed slot cannot be read, so no trial can be staged beside it.
    ConfirmedUnreadable,
    /// A trial was to be staged in the slot that is confirmed.
    TrialInConfirmedSlot,
    /// A trial was to be staged with no attempts, or more than the script can count.
    TrialAttempts {
        /// Attempts that were asked for.
        got: u8,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoValidCopy => {
                f.write_str("reading the U-Boot environment: no copy has a right check sum")
            }
            Error::CopySize { got } => {
                let want = crate::layout::ENV_SIZE;
                write!(f, "reading the U-Boot environment: a copy has {got} bytes, not {want}")
            }
            Error::VariableName => f.write_str("setting a U-Boot variable: not a valid name"),
            Error::VariableValue => f.write_str("setting a U-Boot variable: zero byte in value"),
            Error::EnvironmentFull => {
                f.write_str("setting a U-Boot variable: the environment is full")
            }
            Error::ConfirmedUnreadable => {
                f.write_str("staging a trial: the confirmed slot cannot be read")
            }
            Error::TrialInConfirmedSlot => {
                f.write_str("staging a trial: that slot is the confirmed one")
            }
            Error::TrialAttempts { got } => {
                let max = crate::slots::TRIAL_ATTEMPTS_MAX;
                write!(f, "staging a trial: {got} attempts, must be 1 to {max}")
            }
        }
    }
}

impl core::error::Error for Error {}

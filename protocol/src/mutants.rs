//! Bugs put in on purpose, for the simulator's tests: a simulator that does not notice them is
//! worth nothing. Without the feature `mutants` of the crate that has them, which nothing on a
//! device has, none of them exists.

/// Declares `Mutant`, the bugs of a crate; `with`, which runs something with one of them in this
/// thread; and `is`, which the code asks at the place of each.
#[macro_export]
macro_rules! mutants {
    ($($(#[$about:meta])* $name:ident,)+) => {
        /// One deliberate bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[$about])* $name,)+
        }

        #[cfg(feature = "mutants")]
        thread_local! {
            static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
        }

        /// Runs something with a bug in this thread.
        #[cfg(feature = "mutants")]
        pub fn with<T>(mutant: Mutant, run: impl FnOnce() -> T) -> T {
            ACTIVE.set(Some(mutant));
            let result = run();
            ACTIVE.set(None);
            result
        }

        /// Whether this bug is to be there.
        #[cfg(feature = "mutants")]
        pub(crate) fn is(mutant: Mutant) -> bool {
            ACTIVE.get() == Some(mutant)
        }

        /// Never, on a device.
        #[cfg(not(feature = "mutants"))]
        pub(crate) const fn is(_: Mutant) -> bool {
            false
        }
    };
}

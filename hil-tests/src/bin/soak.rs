//! `cargo xtask soak --cycles N [--seed S]`: power cuts without end, see [`hil::soak`].

fn main() -> std::process::ExitCode {
    hil::seeded::main("soak", "cycles", |cycles, seed| hil::soak::run("soak", cycles, seed))
}

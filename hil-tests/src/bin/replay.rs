//! `cargo xtask replay --points N [--seed S]`: power cuts between the writes of an update, see
//! [`hil::replay`].

fn main() -> std::process::ExitCode {
    hil::seeded::main("replay", "points", |points, seed| hil::replay::run("replay", points, seed))
}

//! PID 1. Everything is in the library; see [`init::machine`].

fn main() {
    if std::process::id() != 1 {
        eprintln!("init: this is process 1 of a Holdfast device; it does nothing else");
        std::process::exit(1);
    }
    let mut machine = init::machine::Machine::boot();
    loop {
        machine.turn();
    }
}

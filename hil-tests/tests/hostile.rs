//! Apps that want out, or more than their share, and what comes of it on a gateway.

use hil::error::ensure;
use hil::gateway::Gateway;
use hil::releases::Releases;
use hil::{Result, provision, samples};

/// Attempts that the hostile app makes, at the least.
const ATTEMPTS: usize = 100;

#[test]
fn a_hostile_app_stays_inside_and_the_gateway_stays_healthy() -> Result {
    let releases = Releases::get()?;
    let image = releases.first()?;
    let mut gateway = Gateway::new("hostile", &image, &provision::stand_alone("hostile"))?;
    gateway.card()?.put("hello.snap", &samples::signed(releases)?)?;
    gateway.card()?.put("hostile.snap", &samples::other(releases, "hostile")?)?;
    gateway.power_on()?;
    gateway.wait_healthy()?;
    gateway.ok("install /boot/hello.snap")?;
    gateway.ok("install /boot/hostile.snap")?;

    gateway.wait_service("hostile.tries", "done")?;
    let log = gateway.ok("logs hostile.tries -n 200")?;
    let tries: Vec<&str> = log.lines().filter(|line| line.contains("try: ")).collect();
    let through: Vec<&&str> = tries.iter().filter(|line| line.contains("GOT THROUGH")).collect();
    ensure(through.is_empty(), || format!("it got through: {through:#?}"))?;
    ensure(tries.len() >= ATTEMPTS, || format!("only {} attempts: {log}", tries.len()))?;

    // Each takes until it is refused or killed, and says or shows so; nothing else suffers.
    for (service, end, sign) in [
        ("bomb", "done", "bomb: refused after"),
        ("hog", "failed", ""),
        ("flood", "done", "lines dropped: too many"),
        ("filler", "done", "and no more"),
    ] {
        let name = format!("hostile.{service}");
        // One that is killed did not start well.
        let _ = gateway.command(&format!("start {name}"))?;
        gateway.wait_service(&name, end)?;
        let log = gateway.ok(&format!("logs {name} -n 200"))?;
        ensure(log.contains(sign), || format!("{name}: {log}"))?;
        ensure(!log.contains("GOT THROUGH"), || format!("{name}: {log}"))?;
        gateway.wait_healthy()?;
        gateway.wait_service("hello.hello", "active")?;
    }

    // A full disk stops what needs room before it starts, with the figures; removing makes room.
    gateway.refused("install /boot/hello.snap", "no-space")?;
    gateway.ok("remove hostile --purge")?;
    gateway.ok("install /boot/hello.snap")?;

    // A snap as a whole is held to what it says itself, and to what a person bounds it to instead,
    // while it runs.
    let quota = gateway.ok("quota hello")?;
    ensure(quota.contains("threads=40"), || quota.clone())?;
    gateway.ok("set-quota hello --cpu=50% --cpu-set=0 --io-write=1M")?;
    gateway.ok("set-quota hello --memory=32M --threads=10")?;
    gateway.wait_service("hello.hello", "active")?;
    let quota = gateway.ok("quota hello")?;
    ensure(quota.contains("memory=32.0 MiB,threads=10"), || quota.clone())?;
    gateway.refused("set-quota hello --cpu-set=77", "")?;
    gateway.ok("remove-quota hello")?;
    let quota = gateway.ok("quota hello")?;
    ensure(quota.contains("threads=40") && !quota.contains("memory="), || quota.clone())?;
    gateway.wait_service("hello.hello", "active")?;
    gateway.power_off()
}

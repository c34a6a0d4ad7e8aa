//! Power cuts between the writes of a real update: the update is recorded write by write, then
//! cards are made that hold the first so many of its writes, and each is booted.
//!
//! Each of these cards must come up healthy, on the release that ran or on the one that it was
//! given, and must be confirmed on the latter in the end, without a word from anybody.
//!
//! The points are of three kinds, taken in turn: before and after each sector of the boot
//! environment that is changed, where writes to the data partition begin and end between others,
//! and all else. A seed decides which of a kind; with enough points, all of the first kind are
//! among them.

use crate::Result;
use crate::card::Card;
use crate::error::{Error, ensure, file};
use crate::fleet_server::FleetServer;
use crate::gateway::Gateway;
use crate::limits;
use crate::releases::{Release, Releases};
use crate::write_log::{self, Entry, SECTOR, WriteLog};
use bootloader_config::layout::{DATA, ENV_OFFSETS, ENV_SIZE};
use fleet::store::Device;
use protocol::control::{BootRecord, Health};
use protocol::fleet::UpdatePhase;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a cut is close to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A write of the boot environment.
    Environment,
    /// The beginning or end of what the data partition is told.
    Data,
    /// Nothing of these.
    Other,
}

/// A moment: after so many writes.
pub type Point = (Kind, usize);

/// What was gone through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Writes of the update.
    pub writes: usize,
    /// Moments around writes of the boot environment that there are.
    pub environment: usize,
    /// Cards that were booted.
    pub points: usize,
    /// Of these, cards that came up on the release that ran.
    pub on_old: usize,
}

/// The writes of a gateway's card, from before it is switched on.
pub struct Recording {
    /// The card before the first write.
    before: PathBuf,
    log: PathBuf,
    /// Writes before the update was asked for.
    asked: usize,
}

/// Who takes part in an update that was recorded.
pub struct Cast<'a> {
    /// The fleet server; it goes on to assign the update.
    pub fleet: &'a FleetServer,
    /// The gateway; in the end it runs the last card that was booted.
    pub gateway: &'a mut Gateway,
    /// Its id.
    pub device: &'a str,
    /// The release that ran.
    pub old: &'a Release,
    /// The release that it was given.
    pub new: &'a Release,
}

/// Records an update and boots `count` cards; `name` is the gateway's and the log's.
///
/// # Errors
/// What was lost, with seed and point.
pub fn run(name: &str, count: usize, seed: u64) -> Result<Report> {
    let releases = Releases::get()?;
    let fleet = FleetServer::start(name, releases.keys())?;
    let (old, new) = (releases.first()?, releases.second()?);
    let mut gateway = Gateway::new(name, &old, &fleet.device_toml(name)?)?;
    let mut recording = Recording::start(&mut gateway)?;
    gateway.power_on()?;
    gateway.wait_healthy()?;
    let device = fleet.wait_enrolled(name)?;
    fleet.upload(&old)?;
    recording.update_follows()?;
    fleet.deploy(&new, &device)?;
    fleet.wait_update(&device, &new, UpdatePhase::Confirmed)?;
    let gateway = &mut gateway;
    let cast = Cast { fleet: &fleet, gateway, device: &device, old: &old, new: &new };
    recording.replay(cast, count, seed)
}

impl Recording {
    /// From the next power on each write is logged.
    ///
    /// # Errors
    /// Files.
    pub fn start(gateway: &mut Gateway) -> Result<Self> {
        let card = gateway.card()?;
        let (before, log) =
            (card.path().with_extension("before.img"), card.path().with_extension("writes"));
        Card::new(card.path(), &before, crate::card::USUAL_SIZE)?;
        gateway.log_writes(Some(log.clone()))?;
        Ok(Self { before, log, asked: 0 })
    }

    /// Moments before this one are of no interest.
    ///
    /// # Errors
    /// Files.
    pub fn update_follows(&mut self) -> Result {
        self.asked = write_log::length(&self.log)? as usize;
        Ok(())
    }

    /// Ends the recording, and boots `count` cards to the end of the update.
    ///
    /// # Errors
    /// What was lost, with seed and point.
    pub fn replay(self, mut cast: Cast<'_>, count: usize, seed: u64) -> Result<Report> {
        cast.gateway.wait_healthy_again()?;
        let boots = cast.gateway.boots()?.into_iter().map(|boot| boot.boot_id);
        let boots: Vec<String> = boots.collect();
        cast.gateway.power_cut();
        cast.gateway.log_writes(None)?;
        let log = WriteLog::open(&self.log)?;
        let kinds = kinds(&log, &self.before)?;
        let points = candidates(&kinds, self.asked);
        let writes = log.entries.len();
        let mut report = Report {
            writes: writes - self.asked,
            environment: points[Kind::Environment as usize].len(),
            ..Report::default()
        };
        for (kind, point) in choose(points, count, seed) {
            let what = format!("seed {seed}, {point} of {writes} writes ({kind:?})");
            cast.gateway.power_cut();
            log.replay(point, cast.gateway.change_card(&self.before)?)?;
            let fresh = cast.boot(&boots).map_err(|e| Error::Story(format!("{what}: {e}")))?;
            let first = fresh.first().map_or("", |boot| &boot.version);
            println!("{what}: came up on {first}, confirmed after {} boots", fresh.len());
            report.points += 1;
            report.on_old += usize::from(first == cast.old.version);
        }
        Ok(report)
    }
}

impl Cast<'_> {
    /// Boots the gateway to the end of the update; its boots that are not `known`.
    fn boot(&mut self, known: &[String]) -> Result<Vec<BootRecord>> {
        let client = self.fleet.client();
        let before = client.wait_for_device(self.device, "known", limits::BOOT, |_| true)?;
        let before = before.state.map(|state| state.system.boot_id);
        self.gateway.power_on()?;
        let sequence = self.new.sequence;
        let finished = |device: &Device| {
            device.state.as_ref().is_some_and(|state| {
                let id = &state.system.boot_id;
                !known.contains(id)
                    && Some(id) != before.as_ref()
                    && state.update.sequence == Some(sequence)
                    && state.update.phase == UpdatePhase::Confirmed
                    && state.system.sequence == sequence
                    && state.system.health == Health::Healthy
            })
        };
        let what = format!("{}: confirmed after a cut", self.new.version);
        client.wait_for_device(self.device, &what, limits::UPDATE, finished)?;
        let status = self.gateway.wait_healthy_again()?;
        ensure(status.confirmed == Some(status.slot), || format!("{status:?}"))?;
        let mut boots = self.gateway.boots()?;
        boots.retain(|boot| !known.contains(&boot.boot_id));
        let versions = [&self.old.version, &self.new.version];
        let well =
            |b: &BootRecord| versions.contains(&&b.version) && b.outcome.starts_with("healthy");
        ensure(!boots.is_empty() && boots.iter().all(well), || format!("boots: {boots:#?}"))?;
        Ok(boots)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // A hundred megabytes of no use to anybody; the console's log stays.
        let _ = std::fs::remove_file(&self.before);
        let _ = std::fs::remove_file(&self.log);
    }
}

/// What each write of a log is to, on a card that was `before` when the log began. One that leaves
/// the environment as it is counts with all others.
fn kinds(log: &WriteLog, before: &Path) -> Result<Vec<Kind>> {
    let card = File::open(before).map_err(file("open", before))?;
    let mut environment: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut kind = |entry: &Entry| -> Result<Kind> {
        let at = entry.sector * SECTOR;
        if at >= DATA.offset {
            return Ok(Kind::Data);
        }
        if !ENV_OFFSETS.iter().any(|start| (*start..start + ENV_SIZE as u64).contains(&at)) {
            return Ok(Kind::Other);
        }
        let content = log.data(entry)?;
        let mut old = vec![0; content.len()];
        card.read_exact_at(&mut old, at).map_err(file("read", before))?;
        let old = environment.insert(at, content.clone()).unwrap_or(old);
        Ok(if old == content { Kind::Other } else { Kind::Environment })
    };
    log.entries.iter().map(&mut kind).collect()
}

/// All moments from `asked` on, by kind.
fn candidates(writes: &[Kind], asked: usize) -> [Vec<Point>; 3] {
    let mut all = [Vec::new(), Vec::new(), Vec::new()];
    for point in asked..=writes.len() {
        let before = point.checked_sub(1).map(|last| writes[last]);
        let after = writes.get(point).copied();
        let kind = match (before, after) {
            (Some(Kind::Environment), _) | (_, Some(Kind::Environment)) => Kind::Environment,
            (before, after) if before == after => Kind::Other,
            _ => Kind::Data,
        };
        all[kind as usize].push((kind, point));
    }
    all
}

/// `count` of them: a random one of each kind in turn, until there are enough, or no more.
fn choose(mut kinds: [Vec<Point>; 3], count: usize, seed: u64) -> Vec<Point> {
    let mut random = fastrand::Rng::with_seed(seed);
    kinds.iter_mut().for_each(|points| random.shuffle(points));
    let mut chosen = Vec::new();
    while chosen.len() < count && kinds.iter().any(|points| !points.is_empty()) {
        let taken = kinds.iter_mut().filter_map(Vec::pop);
        chosen.extend(taken);
    }
    chosen.truncate(count);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write of the environment that changes two sectors, amid notes and chunks.
    const WRITES: [Kind; 8] = [
        Kind::Other,
        Kind::Data,
        Kind::Data,
        Kind::Environment,
        Kind::Environment,
        Kind::Other,
        Kind::Other,
        Kind::Other,
    ];

    fn points(points: &[Point]) -> Vec<usize> {
        points.iter().map(|(_, point)| *point).collect()
    }

    #[test]
    fn moments_are_sorted_by_what_is_written_around_them() {
        let [environment, data, other] = candidates(&WRITES, 1);
        assert_eq!(points(&environment), [3, 4, 5]);
        assert_eq!(points(&data), [1, 8]);
        assert_eq!(points(&other), [2, 6, 7]);
    }

    #[test]
    fn each_kind_is_taken_in_turn_until_it_is_used_up() {
        let all = || candidates(&WRITES, 0);
        let kinds =
            |count| choose(all(), count, 1).iter().map(|(kind, _)| *kind).collect::<Vec<_>>();
        assert_eq!(kinds(3), [Kind::Environment, Kind::Data, Kind::Other]);
        let mut everything = points(&choose(all(), 100, 1));
        everything.sort_unstable();
        assert_eq!(everything, (0..=WRITES.len()).collect::<Vec<_>>());
        assert_eq!(choose(all(), 5, 7), choose(all(), 5, 7));
    }
}

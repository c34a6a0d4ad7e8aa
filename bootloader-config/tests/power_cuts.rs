//! Random sequences of boots, power cuts and commands never lead to a card without a bootable slot.
//!
//! The model, stricter than a card:
//! - A write of an environment copy is cut after any number of bytes; at the cut there is garbage
//!   as far as the sector goes, or the whole copy is garbage.
//! - A slot is "good" (boots and is healthy), "sick" (boots, never healthy) or "dead" (does not
//!   load).
//!   Only the slot that is not confirmed is ever written; a cut in it leaves it dead.
//! - The boot loader is [`decide`] and the two environment copies, nothing else.
//!
//! Not modelled: a card that loses what it acknowledged, or a confirmed slot that rots. Those are
//! for the fallback rows of the decision table, which `hil-tests` boots, and for `simulator`.

use bootloader_config::environment::{EncodedCopy, Environment, EnvironmentCopy, RawCopy};
use bootloader_config::layout::ENV_SIZE;
use bootloader_config::panics::Panics;
use bootloader_config::slots::{Mode, Reading, Slot, SlotState, TRIAL_ATTEMPTS_MAX, decide};

/// Sequences; the seed is the number.
const SEQUENCES: u64 = 120;
/// Events in each.
const EVENTS: usize = 60;

/// xorshift64*: the same sequence for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Sick,
    Dead,
}

/// What survives a power cut.
struct Card {
    copies: [RawCopy; 2],
    slots: [Health; 2],
}

/// The power went.
struct PowerCut;

impl Card {
    fn new() -> Card {
        Card { copies: Environment::fresh().1, slots: [Health::Good, Health::Dead] }
    }

    fn read(&self) -> Environment {
        Environment::read(Some(&self.copies[0]), Some(&self.copies[1]))
            .expect("a cut tears one copy at most, and never the one in use")
    }

    fn slot(&mut self, slot: Slot) -> &mut Health {
        &mut self.slots[slot as usize]
    }

    /// Stores a state; perhaps the power goes at some byte of it.
    fn store(&mut self, state: SlotState, random: &mut Random) -> Result<(), PowerCut> {
        let mut environment = self.read();
        state.write(&mut environment).expect("three short variables fit");
        let EncodedCopy { copy, bytes } = environment.encode();
        assert_ne!(copy, environment.active(), "the copy in use is never written");
        let target = &mut self.copies[match copy {
            EnvironmentCopy::First => 0,
            EnvironmentCopy::Second => 1,
        }];
        if !random.one_in(6) {
            *target = bytes;
            return Ok(());
        }
        let cut = random.below(ENV_SIZE as u64 + 1) as usize;
        target[..cut].copy_from_slice(&bytes[..cut]);
        match random.below(3) {
            0 => {}
            1 => {
                let end = cut.next_multiple_of(512).min(ENV_SIZE);
                target[cut..end].iter_mut().for_each(|byte| *byte = random.next() as u8);
            }
            _ => target.iter_mut().for_each(|byte| *byte = random.next() as u8),
        }
        Err(PowerCut)
    }

    /// The boot loader: the slot that runs, and how.
    fn boot(&mut self, random: &mut Random) -> Result<(Slot, Mode), PowerCut> {
        let state = SlotState::read(&self.read());
        let decision = decide(&state, Panics::NONE);
        if let Some((slot, _)) = decision.trial {
            self.store(state.counted_down(), random)?;
            if *self.slot(slot) != Health::Dead {
                return Ok((slot, Mode::Trial));
            }
        }
        let loads =
            decision.then.into_iter().find(|choice| *self.slot(choice.slot) != Health::Dead);
        let choice = loads.expect("no slot of the card boots");
        Ok((choice.slot, choice.mode))
    }

    /// The running system for a while: health gate, then perhaps an update or a command.
    fn run(&mut self, slot: Slot, mode: Mode, random: &mut Random) -> Result<(), PowerCut> {
        let state = SlotState::read(&self.read());
        if random.one_in(5) {
            return Err(PowerCut);
        }
        let healthy = *self.slot(slot) == Health::Good;
        if mode == Mode::Trial {
            let next = if healthy { state.confirm(slot) } else { state.drop_trial() };
            return self.store(next, random);
        }
        if mode == Mode::Fallback && state.trial != Reading::Absent {
            self.store(state.drop_trial(), random)?;
        }
        let state = SlotState::read(&self.read());
        match random.below(4) {
            0 | 1 => self.update(&state, random),
            2 if self.slots[slot.other() as usize] != Health::Dead => match state.rollback() {
                Ok(next) => self.store(next, random),
                Err(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn update(&mut self, state: &SlotState, random: &mut Random) -> Result<(), PowerCut> {
        let Some(target) = state.writable_slot() else { return Ok(()) };
        // What is being written must not be on trial.
        self.store(state.drop_trial(), random)?;
        *self.slot(target) = Health::Dead;
        if random.one_in(3) {
            return Err(PowerCut);
        }
        *self.slot(target) = match random.below(4) {
            0 => Health::Sick,
            1 => Health::Dead,
            _ => Health::Good,
        };
        let attempts = 1 + random.below(u64::from(TRIAL_ATTEMPTS_MAX)) as u8;
        let next =
            state.drop_trial().stage_trial(target, attempts).expect("not the confirmed slot");
        self.store(next, random)
    }

    fn check(&mut self) {
        let state = SlotState::read(&self.read());
        let confirmed = state.confirmed.value().expect("the confirmed slot is always known");
        assert_eq!(
            *self.slot(confirmed),
            Health::Good,
            "the confirmed slot was healthy: {state:?}"
        );
    }
}

#[test]
fn no_sequence_of_boots_cuts_and_commands_leaves_a_card_without_a_bootable_slot() {
    let mut trials = 0;
    let mut cuts = 0;
    for seed in 0..SEQUENCES {
        let random = &mut Random::new(seed);
        let mut card = Card::new();
        for _ in 0..EVENTS {
            let done = card.boot(random).and_then(|(slot, mode)| {
                trials += u32::from(mode == Mode::Trial);
                card.run(slot, mode, random)
            });
            cuts += u32::from(done.is_err());
            card.check();
        }
    }
    // The sequences must reach what they are about.
    assert!(trials > 500 && cuts > 500, "{trials} trials, {cuts} power cuts");
}

#[test]
fn a_trial_that_never_reports_ends_after_its_attempts_whatever_is_cut() {
    for seed in 0..SEQUENCES {
        let random = &mut Random::new(seed);
        let mut card = Card::new();
        card.slots = [Health::Good, Health::Sick];
        let attempts = 1 + random.below(u64::from(TRIAL_ATTEMPTS_MAX)) as u8;
        let state = SlotState::FRESH.stage_trial(Slot::B, attempts).expect("slot b is free");
        while card.store(state, random).is_err() {}
        let mut started = 0;
        // Nobody drops the trial: the machine hangs and is switched off, again and again.
        for _ in 0..4 * usize::from(TRIAL_ATTEMPTS_MAX) {
            match card.boot(random) {
                Ok((Slot::B, Mode::Trial)) => started += 1,
                Ok((slot, mode)) => assert_eq!((slot, mode), (Slot::A, Mode::Fallback)),
                Err(PowerCut) => {}
            }
        }
        assert!(started <= attempts, "{started} trial boots of {attempts}");
        let end = SlotState::read(&card.read());
        assert_eq!((end.confirmed, end.trial_left), (Reading::Is(Slot::A), Reading::Is(0)));
    }
}

#[test]
fn the_confirmed_slot_boots_a_thousand_times_without_a_write() {
    let mut card = Card::new();
    let before = card.copies;
    let random = &mut Random::new(1);
    for _ in 0..1000 {
        let Ok(booted) = card.boot(random) else { panic!("a boot of the confirmed slot wrote") };
        assert_eq!(booted, (Slot::A, Mode::Confirmed));
    }
    assert!(before == card.copies);
}

//! `holdfast keys …`

use clap::{Args, Subcommand, ValueEnum};
use image_builder::{
    Error, Result,
    keys::{self, draft},
};
use protocol::keys::{KeyId, KeySet, RoleName};
use std::path::{Path, PathBuf};

/// What `keys explain` prints, and `keys --help` ends with.
const EXPLAIN: &str = "\
ROLES
  root     signs key sets, nothing else. Offline, in a safe, best in several hands.
  release  signs release manifests: what may run. Offline, where releases are built.
  fleet    signs assignments and commands: which gateway runs what, until when. Online.
  app      signs snaps. With who packs apps.
A gateway runs something new only when release AND fleet key agree. A role with threshold 2
needs the signatures of two different keys of it.

CHANGING KEYS
  Every change makes a draft (keys.draft) of the next set. It comes into force when a threshold of
  the OLD set's root keys and of the NEW set's root keys have signed it:
    holdfast keys rotate --dir keys --role fleet       a new key, the old one goes
    holdfast keys show   --dir keys                    what the draft says, who has signed
    holdfast keys sign   --dir keys --key root.key     on the machine of each root key's holder
  Holders on other machines are given the folder WITHOUT *.key files, and give it back.
  Then give keys.cbor and keys.chain to the fleet server and start it again; gateways follow
  without a reboot. Build the next release with the new keys.cbor, so that a gateway whose data
  partition is wiped does not trust the old keys again.

WHEN A KEY IS STOLEN
  fleet    The thief can pick among signed releases that are not below the floor, and reboot
           gateways. `rotate --role fleet`, sign, put fleet-N.key on a clean server as fleet.key.
  release  Alone it does nothing without the fleet key. `rotate --role release`, sign, start the
           server again: what the old key signed is withdrawn and refused. Sign releases anew.
  app      `rotate --role app`, sign, sign the snaps anew: snaps of the old key do not start again.
           When it is not stolen, use `--keep`, and `revoke` it when every snap is refreshed.
  root     Below its threshold: `rotate --role root --old ID`, signed by the others. At its
           threshold the thief can make key sets: only new images on new cards help. So keep the
           root keys apart and the threshold at 2 or more (`add`, then `threshold`).

FILES
  *.key are private: mode 0600, never overwritten, refused when others can read them.
  *.pub and keys.* are public: copy them as you like.
";

/// Keys that sign, and the key set that gateways trust.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXPLAIN)]
pub enum KeysCommand {
    /// Make a key pair for each role and the signed key set.
    Init(Folder),
    /// Make one key pair, to be added to a set by `add` or `rotate --new`.
    Make {
        /// Private key file; the public key goes beside it, with `.pub` at the end.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Show the key set of a folder and its draft.
    Show(Folder),
    /// Draft: give a role one more key.
    Add {
        #[command(flatten)]
        folder: Folder,
        /// Role.
        #[arg(long)]
        role: Role,
        /// Public key file.
        #[arg(long)]
        public: PathBuf,
    },
    /// Draft: give a role a new key in place of an old one.
    Rotate {
        #[command(flatten)]
        folder: Folder,
        /// Role.
        #[arg(long)]
        role: Role,
        /// Id of the key that goes; needed when the role has several.
        #[arg(long)]
        old: Option<String>,
        /// Public key file of the new key; without it ROLE-N.key is made in the folder.
        #[arg(long)]
        new: Option<PathBuf>,
        /// The old key stays as well, until it is revoked.
        #[arg(long)]
        keep: bool,
    },
    /// Draft: take a key out of every role.
    Revoke {
        #[command(flatten)]
        folder: Folder,
        /// Id of the key.
        #[arg(long)]
        id: String,
    },
    /// Draft: set how many keys of a role must sign.
    Threshold {
        #[command(flatten)]
        folder: Folder,
        /// Role.
        #[arg(long)]
        role: Role,
        /// Number of keys.
        #[arg(long)]
        count: u8,
    },
    /// Sign the draft with a root key; the last signature that was needed puts it into force.
    Sign {
        #[command(flatten)]
        folder: Folder,
        /// Private key file of a root key, old or new; may be repeated.
        #[arg(long, required = true)]
        key: Vec<PathBuf>,
    },
    /// Throw the draft away.
    Discard(Folder),
    /// Verify the set, the chain that leads to it, and that no private key lies open.
    Verify(Folder),
    /// Explain roles, changes, and what to do when a key is stolen.
    Explain,
}

/// Where the keys are.
#[derive(Debug, Args)]
pub struct Folder {
    /// Folder.
    #[arg(long)]
    dir: PathBuf,
}

/// A role on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    Root,
    Release,
    Fleet,
    App,
}

impl Role {
    fn name(self) -> &'static str {
        keys::ROLES[self as usize]
    }

    fn role(self) -> RoleName {
        [RoleName::Root, RoleName::Release, RoleName::Fleet, RoleName::App][self as usize]
    }
}

impl KeysCommand {
    pub fn run(self) -> Result<()> {
        match self {
            KeysCommand::Init(Folder { dir }) => {
                keys::init(&dir)?;
                show(&dir)?;
                println!(
                    "\nKeep root.key and release.key offline. Only fleet.key belongs on the fleet \
                     server; app.key signs snaps. `holdfast keys explain` says more."
                );
                Ok(())
            }
            KeysCommand::Make { output } => {
                let key = keys::make(&output)?;
                println!("key {}: {}, public key in {0}.pub", key.id(), output.display());
                Ok(())
            }
            KeysCommand::Show(Folder { dir }) => show(&dir),
            KeysCommand::Add { folder, role, public } => {
                let public = keys::public_key(&public)?;
                edit(&folder.dir, |set| draft::add(set, role.role(), &public).map(drop))
            }
            KeysCommand::Rotate { folder, role, old, new, keep } => {
                rotate(&folder.dir, role, old.as_deref(), new.as_deref(), keep)
            }
            KeysCommand::Revoke { folder, id } => {
                let id = key_id(&id)?;
                edit(&folder.dir, |set| draft::revoke(set, &id, None))
            }
            KeysCommand::Threshold { folder, role, count } => {
                edit(&folder.dir, |set| draft::threshold(set, role.role(), count))
            }
            KeysCommand::Sign { folder, key } => sign(&folder.dir, &key),
            KeysCommand::Discard(Folder { dir }) => {
                let path = dir.join(draft::DRAFT);
                std::fs::remove_file(&path).map_err(Error::file("remove", path))
            }
            KeysCommand::Verify(Folder { dir }) => {
                for line in keys::verify(&dir)? {
                    println!("{line}");
                }
                show_draft(&dir)
            }
            KeysCommand::Explain => {
                print!("{EXPLAIN}");
                Ok(())
            }
        }
    }
}

fn key_id(text: &str) -> Result<KeyId> {
    let bad = |e: String| Error::input(format!("{e}: 16 hexadecimal digits, see `keys show`"));
    KeyId::try_from(text.to_string()).map_err(bad)
}

/// Changes the draft and says what it is now.
fn edit(dir: &Path, change: impl FnOnce(&mut KeySet) -> Result<()>) -> Result<()> {
    let (_, dropped) = draft::edit(dir, change)?;
    if dropped > 0 {
        println!("{dropped} signatures were for the draft as it was before; they are gone");
    }
    show_draft(dir)
}

fn rotate(dir: &Path, role: Role, old: Option<&str>, new: Option<&Path>, keep: bool) -> Result<()> {
    let set = match draft::open(dir)? {
        Some(draft) => draft.set,
        None => keys::key_set(dir)?,
    };
    let held = match role {
        Role::Root => &set.roles.root.keys,
        Role::Release => &set.roles.release.keys,
        Role::Fleet => &set.roles.fleet.keys,
        Role::App => &set.roles.app.keys,
    };
    let old = match (old, &held[..]) {
        (Some(text), _) => key_id(text)?,
        (None, [only]) => *only,
        (None, several) => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            let (role, ids) = (role.name(), ids.join(", "));
            return Err(Error::input(format!(
                "the role {role} has several keys, name one by --old: {ids}"
            )));
        }
    };
    let public = match new {
        Some(path) => keys::public_key(path)?,
        None => {
            let next = keys::key_set(dir)?.version + 1;
            let path = dir.join(format!("{}-{next}.key", role.name()));
            let key = keys::make(&path)?;
            println!("made {}", path.display());
            key.public()
        }
    };
    edit(dir, |set| {
        draft::add(set, role.role(), &public)?;
        if keep { Ok(()) } else { draft::revoke(set, &old, Some(role.role())) }
    })
}

fn sign(dir: &Path, files: &[PathBuf]) -> Result<()> {
    for file in files {
        let key = keys::private_file(file)?;
        let (set, signed) = draft::sign(dir, &key)?;
        let ((old, of_old), (new, of_new)) = (signed.old, signed.new);
        println!(
            "signed by {}: {old} of {of_old} old and {new} of {of_new} new root keys",
            key.id()
        );
        if signed.complete() {
            let (set, dir) = (set.version, dir.display());
            println!(
                "key set {set} is in force here: {dir}/keys.cbor, {dir}/keys.chain\nGive both to \
                 the fleet server and start it again, and build the next release with them."
            );
            return Ok(());
        }
    }
    println!("further root keys are needed: pass the folder on, without private keys");
    Ok(())
}

fn show(dir: &Path) -> Result<()> {
    let set = keys::key_set(dir)?;
    println!("key set version {}", set.version);
    show_roles(&set);
    show_draft(dir)
}

fn show_roles(set: &KeySet) {
    let roles = &set.roles;
    let roles = [&roles.root, &roles.release, &roles.fleet, &roles.app];
    for (name, role) in keys::ROLES.iter().zip(roles) {
        let ids: Vec<String> = role.keys.iter().map(ToString::to_string).collect();
        println!("{name:<8} {} of {}: {}", role.threshold, ids.len(), ids.join(", "));
    }
}

fn show_draft(dir: &Path) -> Result<()> {
    let Some(draft) = draft::open(dir)? else { return Ok(()) };
    let now = keys::key_set(dir)?;
    println!("\ndraft of key set {} (not in force)", draft.set.version);
    show_roles(&draft.set);
    for id in draft.set.keys.keys().filter(|id| !now.keys.contains_key(id)) {
        println!("new      {id}: {}", keys::roles_of(&draft.set, id).join(", "));
    }
    for id in now.keys.keys().filter(|id| !draft.set.keys.contains_key(id)) {
        println!("revoked  {id}: {}", keys::roles_of(&now, id).join(", "));
    }
    let signed = draft::signatures(&now, &draft.set, &draft.signers);
    let signers: Vec<String> = draft.signers.iter().map(ToString::to_string).collect();
    let ((old, of_old), (new, of_new)) = (signed.old, signed.new);
    println!("signed   {old} of {of_old} old and {new} of {of_new} new root keys needed");
    if !signers.is_empty() {
        println!("by       {}", signers.join(", "));
    }
    Ok(())
}

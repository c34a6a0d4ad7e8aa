//! A Debian archive in a folder, made by Debian's own tools and signed with a key that lives as
//! long as the test. apt reads it through its method `copy:`, so no proxy comes between.

use super::{accepted, text};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The suite that it has.
pub const SUITE: &str = "trixie";
/// The part of the suite with all packages.
const COMPONENT: &str = "main";
/// A part that apt is told of as well; it is empty.
const OTHER_COMPONENT: &str = "non-free-firmware";

/// The archive.
pub struct Mirror {
    root: PathBuf,
    signer: Signer,
}

impl Mirror {
    /// An empty one; it can be read once it is published.
    pub fn new(root: &Path) -> Self {
        fs::create_dir_all(root.join("pool")).unwrap();
        Self { root: root.to_path_buf(), signer: Signer::new(&root.join("signer")) }
    }

    /// Its address for apt.
    pub fn address(&self) -> String {
        format!("copy:{}", text(&self.root))
    }

    /// The public key that has to sign it.
    pub fn keyring(&self) -> PathBuf {
        self.signer.keyring.clone()
    }

    /// Lets somebody else sign from now on; the keyring stays.
    pub fn change_signer(&mut self) {
        let mut another = Signer::new(&self.root.join("another"));
        another.keyring = self.keyring();
        self.signer = another;
    }

    /// The folder with the packages.
    pub fn pool(&self) -> PathBuf {
        self.root.join("pool")
    }

    /// Adds a binary package for all architectures; returns its file.
    pub fn add_package(&self, name: &str, version: &str, files: &[(&str, &str)]) -> PathBuf {
        let tree = self.root.join("tree");
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Test <t@test>\n\
             Description: test\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        for (path, content) in files {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let package = self.pool().join(format!("{name}_{version}_all.deb"));
        accepted("dpkg-deb", &["--root-owner-group", "--build", text(&tree), text(&package)]);
        fs::remove_dir_all(&tree).unwrap();
        package
    }

    /// Adds a source package whose upstream tarball has this content; returns the tarball.
    pub fn add_source(&self, name: &str, upstream: &str, revision: &str, content: &str) -> PathBuf {
        let tarball = self.pool().join(format!("{name}_{upstream}.orig.tar.bz2"));
        fs::write(&tarball, content).unwrap();
        let version = format!("{upstream}-{revision}");
        let changes = self.pool().join(format!("{name}_{version}.debian.tar.xz"));
        fs::write(&changes, format!("changes of {version}")).unwrap();
        let mut description = format!(
            "Format: 3.0 (quilt)\nSource: {name}\nBinary: {name}\nArchitecture: any\n\
             Version: {version}\nMaintainer: Test <t@test>\n"
        );
        for (field, program) in [("Checksums-Sha256", "sha256sum"), ("Files", "md5sum")] {
            description += &format!("{field}:\n");
            for file in [&tarball, &changes] {
                let sum = accepted(program, &[text(file)]);
                let sum = sum.split_whitespace().next().unwrap();
                let (length, name) = (file.metadata().unwrap().len(), file.file_name().unwrap());
                description += &format!(" {sum} {length} {}\n", name.to_str().unwrap());
            }
        }
        fs::write(self.pool().join(format!("{name}_{version}.dsc")), description).unwrap();
        tarball
    }

    /// Takes the files of a version out of the archive.
    pub fn remove(&self, version: &str) {
        for entry in fs::read_dir(self.pool()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().contains(&format!("_{version}")) {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// Writes the lists of what is there, and signs them.
    pub fn publish(&self) {
        let suite = self.root.join("dists").join(SUITE);
        let _ = fs::remove_dir_all(&suite);
        let architecture = accepted("dpkg", &["--print-architecture"]).trim().to_string();
        for component in [COMPONENT, OTHER_COMPONENT] {
            let lists = [
                ("packages", format!("binary-{architecture}/Packages")),
                ("sources", "source/Sources".to_string()),
            ];
            for (kind, path) in lists {
                let path = suite.join(component).join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let list = if component == COMPONENT { self.list(&[kind, "pool"]) } else { vec![] };
                fs::write(path, list).unwrap();
            }
        }
        let option = |name: &str, value: &str| format!("APT::FTPArchive::Release::{name}={value}");
        let components = format!("{COMPONENT} {OTHER_COMPONENT}");
        let options = [
            option("Suite", SUITE),
            option("Codename", SUITE),
            option("Components", &components),
            option("Architectures", &architecture),
        ];
        let mut arguments: Vec<&str> = options.iter().flat_map(|o| ["-o", o.as_str()]).collect();
        arguments.extend(["release", text(&suite)]);
        let release = self.list(&arguments);
        fs::write(suite.join("Release"), release).unwrap();
        self.signer.sign(&suite.join("Release"), &suite.join("InRelease"));
    }

    fn list(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("apt-ftparchive");
        let output = command.args(arguments).current_dir(&self.root).output().unwrap();
        assert!(output.status.success(), "apt-ftparchive {arguments:?}: {output:?}");
        output.stdout
    }
}

/// A key pair in a folder of its own.
struct Signer {
    home: PathBuf,
    keyring: PathBuf,
}

impl Signer {
    fn new(home: &Path) -> Self {
        fs::create_dir_all(home).unwrap();
        fs::set_permissions(home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let signer = Self { home: home.to_path_buf(), keyring: home.join("public.gpg") };
        signer.gpg(&["--quick-generate-key", "Test <t@test>", "ed25519", "sign", "never"]);
        signer.gpg(&["--output", text(&signer.keyring), "--export"]);
        signer
    }

    fn sign(&self, file: &Path, to: &Path) {
        self.gpg(&["--output", text(to), "--clear-sign", text(file)]);
    }

    fn gpg(&self, arguments: &[&str]) {
        let ours = ["--homedir", text(&self.home), "--batch", "--passphrase", ""];
        accepted("gpg", &[&ours[..], arguments].concat());
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // the agent that gpg started for this folder
        let _ = super::tool("gpgconf", &["--homedir", text(&self.home), "--kill", "all"]);
    }
}

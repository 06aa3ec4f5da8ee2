//! Debian packages, fetched by apt-get without being installed.
//!
//! apt-get has folders of its own here, for its lists, its state and what it downloads. So
//! packages of another architecture can be had without telling the machine's own dpkg of it,
//! and nothing of this asks for root. Where the packages are is read from the machine's sources.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::unavailable;
use crate::failure::{Doing, Result};
use crate::progress::{run_shown, say};
use crate::setup::machine;

/// An apt for one architecture.
pub struct Apt {
    folder: PathBuf,
    architecture: &'static str,
}

impl Apt {
    /// Makes its folders below `folder`, and reads the package lists.
    pub fn new(folder: &Path, architecture: &'static str) -> Result<Apt> {
        if !machine::are_programs(&["apt-get", "apt-cache", "dpkg-deb"]) {
            return Err(unavailable(
                "Debian's packages are fetched by apt-get and dpkg-deb, which are not here",
            ));
        }
        let apt = Apt {
            folder: folder.join(format!("apt-{architecture}")),
            architecture,
        };
        for part in ["lists/partial", "cache/archives/partial", "packages"] {
            let part = apt.folder.join(part);
            fs::create_dir_all(&part).doing(|| format!("make the folder {}", part.display()))?;
        }
        let status = apt.folder.join("status");
        fs::write(&status, "").doing(|| format!("write {}", status.display()))?;
        apt.read_lists()?;
        Ok(apt)
    }

    /// Reads the package lists, unless that was done a moment ago.
    fn read_lists(&self) -> Result<()> {
        const FRESH: Duration = Duration::from_secs(3600);
        let mark = self.folder.join("lists-read");
        let age = mark
            .metadata()
            .and_then(|data| data.modified())
            .map(|read| read.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age < FRESH) {
            return Ok(());
        }
        let what = format!(
            "reading Debian's package lists ({}) into the target folder",
            self.architecture
        );
        let read = run_shown(&what, self.command("apt-get").arg("update"))?;
        if !read.status.success() {
            say("not all package lists could be read; going on with those that are here");
        }
        fs::write(&mark, "").doing(|| format!("write {}", mark.display()))
    }

    /// One of apt's programs, in these folders.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut option = |name: &str, value: &str| {
            command.arg("-o").arg(format!("{name}={value}"));
        };
        let folder = self.folder.to_string_lossy();
        option("Dir::State", &folder);
        option("Dir::State::lists", &format!("{folder}/lists"));
        option("Dir::State::status", &format!("{folder}/status"));
        option("Dir::Cache", &format!("{folder}/cache"));
        option("APT::Architecture", self.architecture);
        option("APT::Architectures::", self.architecture);
        option("Acquire::Languages", "none");
        // The folders are this user's, whom apt's own user may not be able to follow.
        option("APT::Sandbox::User", "root");
        command.env("LC_ALL", "C");
        command
    }

    /// The first package that `package` depends on whose name starts so.
    pub fn dependency(&self, package: &str, start: &str) -> Result<String> {
        let asked = self
            .command("apt-cache")
            .args(["depends", package])
            .output()
            .doing(|| "start apt-cache".to_string())?;
        let text = String::from_utf8_lossy(&asked.stdout);
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| name.starts_with(start))
            .map(str::to_string)
            .ok_or_else(|| {
                unavailable(&format!(
                    "the package {package} ({}) is not in this machine's package sources, or leads to no kernel",
                    self.architecture
                ))
            })
    }

    /// The folder with the contents of a package.
    pub fn unpacked(&self, package: &str) -> Result<PathBuf> {
        let archive = self.download(package)?;
        let folder = self.folder.join("packages").join(package);
        let unpacked = Command::new("dpkg-deb")
            .arg("--extract")
            .args([&archive, &folder])
            .output()
            .doing(|| "start dpkg-deb".to_string())?;
        // What is unpacked is kept, and the archive is not needed again.
        let _ = fs::remove_file(&archive);
        if unpacked.status.success() {
            return Ok(folder);
        }
        Err(unavailable(&format!(
            "dpkg-deb could not unpack {}: {}",
            archive.display(),
            String::from_utf8_lossy(&unpacked.stderr).trim()
        )))
    }

    /// The file of a package whose path starts and ends so.
    pub fn file(&self, package: &str, start: &str, end: &str) -> Result<Vec<u8>> {
        let folder = self.unpacked(package)?;
        let found = (|| {
            let path = folder.join(start);
            let (parent, prefix) = match start.ends_with('/') {
                true => (path.as_path(), ""),
                false => (path.parent()?, path.file_name()?.to_str()?),
            };
            let mut names: Vec<_> = parent
                .read_dir()
                .ok()?
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .filter(|name| name.starts_with(prefix) && name.ends_with(end))
                .collect();
            names.sort();
            fs::read(parent.join(names.first()?)).ok()
        })();
        // Kernels come with hundreds of megabytes of drivers.
        let _ = fs::remove_dir_all(&folder);
        found.ok_or_else(|| {
            unavailable(&format!(
                "the package {package} ({}) has no file {start}*{end}",
                self.architecture
            ))
        })
    }

    /// Downloads a package; its file.
    fn download(&self, package: &str) -> Result<PathBuf> {
        let folder = self.folder.join("packages");
        let what = format!(
            "fetching Debian's package {package} ({})",
            self.architecture
        );
        let mut command = self.command("apt-get");
        command.args(["download", package]).current_dir(&folder);
        let fetched = run_shown(&what, &mut command)?;
        let archive = folder
            .read_dir()
            .doing(|| format!("read the folder {}", folder.display()))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
            });
        match archive {
            Some(archive) if fetched.status.success() => Ok(archive),
            _ => {
                let why = fetched.output.lines().find(|line| line.starts_with("E:"));
                Err(unavailable(&format!(
                    "apt-get could not fetch the package {package} ({}): {}",
                    self.architecture,
                    why.unwrap_or("it said nothing")
                )))
            }
        }
    }
}

/// What gzip has compressed.
pub fn decompress(bytes: &[u8]) -> Result<Vec<u8>> {
    let doing = || "decompress with gzip".to_string();
    let mut gzip = Command::new("gzip")
        .args(["--decompress", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .doing(doing)?;
    let mut input = gzip.stdin.take();
    // Both ends at once, or a full pipe would stop both programs.
    let finished = std::thread::scope(|scope| {
        scope.spawn(move || input.as_mut().map(|input| input.write_all(bytes)));
        gzip.wait_with_output()
    });
    let finished = finished.doing(doing)?;
    match finished.status.success() {
        true => Ok(finished.stdout),
        false => Err(unavailable("a compressed file of Debian's is broken")),
    }
}

//! `sweep.toml`: a policy, what is changed in it, and the points that come of that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::files::{Contents, change_paths, vms};
use crate::build::key::Key;
use crate::failure::{Doing, Failure, Result};

/// More points than this are a mistake.
const MOST_POINTS: usize = 100_000;

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The policy that is changed, relative to the file.
    policy: PathBuf,
    /// The database, relative to the file.
    #[serde(default = "usual_database")]
    pub database: PathBuf,
    /// Kernels for the first VM, relative to the file; if there are none, the policy's own.
    #[serde(default)]
    guests: Vec<PathBuf>,
    /// A text of a guest at which each run ends; if there is none, when all VMs have ended.
    pub until: Option<String>,
    /// Seconds after which a run is given up.
    #[serde(default = "usual_timeout")]
    pub timeout: u32,
    /// Exits that are counted in one half of the points and passed in the other.
    #[serde(default)]
    intercepts: Vec<String>,
    /// Keys of the policy, such as `vm.npt` and `vmm.quantum`, and the values that each takes.
    /// `vm` means every VM.
    #[serde(default)]
    values: Table,
    /// Where the file is.
    #[serde(skip)]
    folder: PathBuf,
}

fn usual_database() -> PathBuf {
    "sweep.db".into()
}

fn usual_timeout() -> u32 {
    300
}

/// One combination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its number in the plan, from 0.
    pub number: usize,
    /// A hash of all in the plan that decides what its run comes to.
    pub key: String,
    /// What is set, name and value.
    pub settings: Vec<(String, String)>,
    /// The policy's text. Its paths are as they were written.
    pub policy: String,
    /// The kernel of the first VM, if it is not the policy's.
    pub guest: Option<PathBuf>,
}

/// One choice of a combination.
#[derive(Clone, Debug)]
enum Choice {
    Guest(PathBuf),
    Intercept(String, bool),
    Value(String, Value),
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// It cannot be read, or says something that no plan has.
    pub fn read(file: &Path) -> Result<Plan> {
        let wrong = |what: &dyn Display| Failure::bad_input(format!("{}: {what}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        let mut plan: Plan = toml::from_str(&text).map_err(|error| wrong(&error))?;
        plan.folder = std::path::absolute(file)
            .map_err(|error| wrong(&error))?
            .parent()
            .unwrap_or(Path::new("/"))
            .to_owned();
        plan.policy = plan.folder.join(&plan.policy);
        plan.database = plan.folder.join(&plan.database);
        for (key, value) in &plan.values {
            if !value.is_array() {
                let help = format!("`{key}` takes a list of values: \"{key}\" = [{value}]");
                return Err(wrong(&help));
            }
        }
        Ok(plan)
    }

    /// Every combination, in an order that is the same in every shard. `vmm`: a name for the VMM
    /// that it is run under, without which a result means nothing.
    ///
    /// # Errors
    /// The policy or a file that it names cannot be read, a key leads nowhere, there are too many,
    /// or two of them are one.
    pub fn points(&self, vmm: &str) -> Result<Vec<Point>> {
        let wrong =
            |error: &dyn Display| Failure::bad_input(format!("{}: {error}", self.policy.display()));
        let text = std::fs::read_to_string(&self.policy).map_err(|error| wrong(&error))?;
        let policy: Table = toml::from_str(&text).map_err(|error| wrong(&error))?;
        let mut combinations: Vec<Vec<Choice>> = vec![Vec::new()];
        for axis in self.axes() {
            if combinations.len().saturating_mul(axis.len()) > MOST_POINTS {
                return Err(Failure::bad_input(format!(
                    "the plan has more than {MOST_POINTS} points; drop a key or an intercept"
                )));
            }
            combinations = combinations
                .iter()
                .flat_map(|chosen| {
                    axis.iter()
                        .map(|one| chosen.iter().chain([one]).cloned().collect())
                })
                .collect();
        }
        let mut contents = Contents::default();
        let points = combinations.iter().enumerate();
        let points = points
            .map(|(number, chosen)| self.point(vmm, number, &policy, chosen, &mut contents))
            .collect::<Result<Vec<_>>>()?;
        refuse_doubles(&points)?;
        Ok(points)
    }

    /// The policy of a point as it is booted from `folder`, where links to all that it names are
    /// made: were the VMM to know where the files are, it would not be the same everywhere.
    pub fn bootable(&self, point: &Point, folder: &Path) -> Result<String> {
        let mut policy: Table =
            toml::from_str(&point.policy).doing(|| "read a policy".to_string())?;
        let mut places = 0..;
        change_paths(&mut policy, |path| {
            let file = self.policy_folder().join(path);
            let name = file.file_name().unwrap_or_default();
            let place = PathBuf::from(places.next().unwrap_or(0).to_string());
            std::fs::create_dir(folder.join(&place))
                .and_then(|()| symlink(&file, folder.join(&place).join(name)))
                .doing(|| format!("make a link to {}", file.display()))?;
            Ok(format!("./{}", place.join(name).display()))
        })?;
        toml::to_string(&policy).doing(|| "write a policy".to_string())
    }

    /// What paths of the policy are relative to.
    pub fn policy_folder(&self) -> &Path {
        self.policy.parent().unwrap_or(Path::new("/"))
    }

    /// Each thing that is changed, with all that it takes.
    fn axes(&self) -> Vec<Vec<Choice>> {
        let mut axes = Vec::new();
        if !self.guests.is_empty() {
            axes.push(self.guests.iter().cloned().map(Choice::Guest).collect());
        }
        for exit in &self.intercepts {
            axes.push(
                [false, true]
                    .map(|on| Choice::Intercept(exit.clone(), on))
                    .into(),
            );
        }
        for (key, values) in &self.values {
            let values = values.as_array().into_iter().flatten();
            let choices = values.map(|value| Choice::Value(key.clone(), value.clone()));
            axes.push(choices.collect());
        }
        axes
    }

    fn point(
        &self,
        vmm: &str,
        number: usize,
        policy: &Table,
        chosen: &[Choice],
        contents: &mut Contents,
    ) -> Result<Point> {
        let mut policy = policy.clone();
        let mut point = Point {
            number,
            key: String::new(),
            settings: Vec::new(),
            policy: String::new(),
            guest: None,
        };
        for choice in chosen {
            point.settings.push(match choice {
                Choice::Guest(file) => {
                    point.guest = Some(self.folder.join(file));
                    ("guest".to_owned(), file.to_string_lossy().into_owned())
                }
                Choice::Intercept(exit, on) => {
                    let action = if *on { "count" } else { "pass" };
                    intercept(&mut policy, exit, action)?;
                    (exit.clone(), action.to_owned())
                }
                Choice::Value(key, value) => {
                    set(&mut policy, key, value)?;
                    let shown = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    (key.clone(), shown)
                }
            });
        }
        point.policy = toml::to_string(&policy).doing(|| "write a policy".to_string())?;
        let mut key = Key::new();
        key.text(vmm);
        key.text(&point.policy);
        key.text(self.until.as_deref().unwrap_or_default());
        for (name, value) in &point.settings {
            key.text(name);
            key.text(value);
        }
        if let Some(guest) = &point.guest {
            key.text(contents.of(guest)?);
        }
        change_paths(&mut policy, |path| {
            key.text(contents.of(&self.policy_folder().join(path))?);
            Ok(path.to_owned())
        })?;
        point.key = key.finish();
        Ok(point)
    }
}

/// Whatever stands twice in a plan sets something twice, or makes two points of one.
fn refuse_doubles(points: &[Point]) -> Result<()> {
    let mut names = BTreeSet::new();
    for (name, _) in points.iter().take(1).flat_map(|point| &point.settings) {
        if !names.insert(name) {
            return Err(Failure::bad_input(format!(
                "the plan sets `{name}` twice; drop one of them"
            )));
        }
    }
    let mut first = BTreeMap::new();
    for point in points {
        if let Some(number) = first.insert(&point.key, point.number) {
            let settings = point.settings.iter();
            let settings: Vec<_> = settings
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            return Err(Failure::bad_input(format!(
                "points {number} and {} of the plan are one, with {}; drop what stands there twice",
                point.number,
                settings.join(", ")
            )));
        }
    }
    Ok(())
}

/// Has every VM answer an exit so. Exits that are said in a set of its own go beside them; else
/// a new set extends what it names.
fn intercept(policy: &mut Table, exit: &str, action: &str) -> Result<()> {
    let action = Value::from(action);
    for vm in vms(policy) {
        let set = vm
            .entry("intercepts")
            .or_insert_with(|| Table::new().into());
        if let Value::Table(entries) = set {
            entries.insert(exit.to_owned(), action.clone());
        } else {
            let extends = std::mem::replace(set, Value::from(0));
            let mut entries = Table::new();
            entries.insert("extends".into(), extends);
            entries.insert(exit.to_owned(), action.clone());
            *set = entries.into();
        }
    }
    Ok(())
}

/// Gives a key of the policy a value: `vm.KEY` in every VM, `TABLE.KEY` elsewhere.
fn set(policy: &mut Table, key: &str, value: &Value) -> Result<()> {
    match key.split_once('.') {
        Some(("vm", key)) => {
            for vm in vms(policy) {
                vm.insert(key.to_owned(), value.clone());
            }
        }
        Some((table, key)) => {
            let table = policy.entry(table).or_insert_with(|| Table::new().into());
            if let Some(table) = table.as_table_mut() {
                table.insert(key.to_owned(), value.clone());
            }
        }
        None => {
            return Err(Failure::bad_input(format!(
                "`{key}` is no key of a policy; write `vm.{key}` or `vmm.{key}`"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// With an image and a module beside it.
    const POLICY: &str = "[set.base]\ncpuid = \"emulate\"\n\n[[vm]]\nname = \"a\"\n\
        memory = \"16 MiB\"\nimage = \"./kernel\"\nmodules = [\"./module a word\"]\nintercepts = \"base\"\n\n[[vm]]\nname = \"b\"\n\
        memory = \"16 MiB\"\n[vm.intercepts]\nhlt = \"wait\"\n";

    /// A folder with a plan that says this, and all that it names.
    fn folder(plan: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = format!("policy = \"vm.toml\"\n{plan}");
        for (name, text) in [
            ("vm.toml", POLICY),
            ("kernel", "kernel"),
            ("module", "module"),
            ("sweep.toml", &plan),
        ] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        folder
    }

    fn read(folder: &Path) -> Plan {
        Plan::read(&folder.join("sweep.toml")).expect("a plan")
    }

    /// The points of a plan that says this.
    pub fn points(plan: &str) -> Vec<Point> {
        let folder = folder(plan);
        read(folder.path()).points("vmm").expect("points")
    }

    #[test]
    fn every_combination_is_a_point_and_no_two_have_one_key() {
        let points = points(
            "guests = [\"kernel\"]\nintercepts = [\"rdtsc\", \"pause\"]\n\
             [values]\n\"vm.weight\" = [1, 2, 3]\n",
        );
        assert_eq!(points.len(), 2 * 2 * 3);
        let keys: std::collections::BTreeSet<_> = points.iter().map(|point| &point.key).collect();
        assert_eq!(keys.len(), points.len());
        let names: Vec<_> = points[0].settings.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["guest", "rdtsc", "pause", "vm.weight"]);
    }

    #[test]
    fn another_vmm_is_another_point() {
        let folder = folder("");
        let plan = read(folder.path());
        let key = |vmm| plan.points(vmm).expect("a point")[0].key.clone();
        assert_eq!(key("one"), key("one"));
        assert_ne!(key("one"), key("other"));
    }

    /// A shard may run wherever there is a copy of the tree.
    #[test]
    fn a_point_is_the_same_in_every_folder_and_another_with_every_file() {
        let plan = "guests = [\"kernel\"]\n";
        let point = |folder: &Path| read(folder).points("vmm").expect("a point").remove(0);
        let here = folder(plan);
        let there = folder(plan);
        assert_eq!(point(here.path()).key, point(there.path()).key);
        assert_eq!(point(here.path()).policy, point(there.path()).policy);
        let mut keys = vec![point(here.path()).key];
        for file in ["kernel", "module"] {
            std::fs::write(there.path().join(file), "another").expect("a file");
            keys.push(point(there.path()).key);
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 3);
    }

    #[test]
    fn a_policy_can_be_booted_from_elsewhere() {
        let folder = folder("");
        let plan = read(folder.path());
        let point = &plan.points("vmm").expect("a point")[0];
        let elsewhere = tempfile::tempdir().expect("a folder");
        let policy = plan.bootable(point, elsewhere.path()).expect("a policy");
        let policy: Table = toml::from_str(&policy).expect("TOML");
        assert_eq!(policy["vm"][0]["image"].as_str(), Some("./0/kernel"));
        let module = policy["vm"][0]["modules"][0].as_str();
        assert_eq!(module, Some("./1/module a word"));
        let module = std::fs::read_to_string(elsewhere.path().join("1/module"));
        assert_eq!(module.expect("the file"), "module");
    }

    #[test]
    fn each_point_is_a_policy_that_says_what_its_settings_say() {
        let points =
            points("intercepts = [\"cr3.write\"]\n[values]\n\"vmm.quantum\" = [\"2 ms\"]\n");
        let [off, on] = &points[..] else {
            panic!("{points:#?}")
        };
        for (point, action) in [(off, "pass"), (on, "count")] {
            let policy: Table = toml::from_str(&point.policy).expect("TOML");
            assert_eq!(policy["vmm"]["quantum"].as_str(), Some("2 ms"));
            for vm in policy["vm"].as_array().expect("VMs") {
                let set = &vm["intercepts"];
                assert_eq!(set["cr3.write"].as_str(), Some(action));
            }
            assert_eq!(
                policy["vm"][0]["intercepts"]["extends"].as_str(),
                Some("base")
            );
            assert_eq!(policy["vm"][1]["intercepts"]["hlt"].as_str(), Some("wait"));
            assert_eq!(policy["vm"][0]["image"].as_str(), Some("./kernel"));
        }
    }

    #[test]
    fn a_plan_that_changes_nothing_is_one_point() {
        assert_eq!(points("").len(), 1);
    }

    #[test]
    fn what_no_plan_has_is_refused() {
        let folder = folder("");
        let file = folder.path().join("sweep.toml");
        for (plan, what) in [
            ("intercept = []", "intercept"),
            ("values = { \"vm.npt\" = true }", "takes a list"),
            ("values = { npt = [true] }", "vm.npt"),
            ("guests = [\"nothing\"]", "cannot read"),
            (
                "values = { \"vm.initrd\" = [\"./nothing\"] }",
                "cannot read",
            ),
            ("intercepts = [\"rdtsc\", \"rdtsc\"]", "sets `rdtsc` twice"),
            ("values = { \"vm.npt\" = [true, true] }", "points 0 and 1"),
            ("guests = [\"kernel\", \"kernel\"]", "points 0 and 1"),
        ] {
            std::fs::write(&file, format!("policy = \"vm.toml\"\n{plan}\n")).expect("a plan");
            let points = Plan::read(&file).and_then(|plan| plan.points("vmm"));
            assert!(
                points.is_err_and(|error| error.message.contains(what)),
                "{plan}"
            );
        }
    }
}

//! `sweep.toml`: a policy, what is changed in it, and the points that come of that.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

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
    /// The policy's text.
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
        let folder = file.parent().unwrap_or(Path::new(""));
        plan.policy = folder.join(&plan.policy);
        plan.database = folder.join(&plan.database);
        for guest in &mut plan.guests {
            *guest = std::path::absolute(folder.join(&*guest)).map_err(|error| wrong(&error))?;
        }
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
    /// The policy or a guest cannot be read, a key leads nowhere, or there are too many.
    pub fn points(&self, vmm: &str) -> Result<Vec<Point>> {
        let wrong =
            |error: &dyn Display| Failure::bad_input(format!("{}: {error}", self.policy.display()));
        let text = std::fs::read_to_string(&self.policy).map_err(|error| wrong(&error))?;
        let mut policy: Table = toml::from_str(&text).map_err(|error| wrong(&error))?;
        make_paths_absolute(&mut policy, self.policy.parent().unwrap_or(Path::new("")))?;
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
        let points = combinations.iter().enumerate();
        points
            .map(|(number, chosen)| self.point(vmm, number, &policy, chosen))
            .collect()
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

    fn point(&self, vmm: &str, number: usize, policy: &Table, chosen: &[Choice]) -> Result<Point> {
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
                    point.guest = Some(file.clone());
                    let name = file.file_name().unwrap_or_default();
                    ("guest".to_owned(), name.to_string_lossy().into_owned())
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
        if let Some(guest) = &point.guest {
            key.tree(guest).map_err(|error| {
                Failure::bad_input(format!("cannot read {}: {error}", guest.display()))
            })?;
        }
        point.key = key.finish();
        Ok(point)
    }
}

fn vms(policy: &mut Table) -> impl Iterator<Item = &mut Table> {
    policy
        .get_mut("vm")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table_mut)
}

/// A policy of a point lies elsewhere than the one it comes from.
fn make_paths_absolute(policy: &mut Table, folder: &Path) -> Result<()> {
    for vm in vms(policy) {
        for key in ["image", "initrd"] {
            if let Some(Value::String(path)) = vm.get_mut(key)
                && path.contains('/')
            {
                let file =
                    std::path::absolute(folder.join(&*path)).doing(|| format!("find {path}"))?;
                *path = file.to_string_lossy().into_owned();
            }
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

    const POLICY: &str = "[set.base]\ncpuid = \"emulate\"\n\n[[vm]]\nname = \"a\"\n\
        memory = \"16 MiB\"\nimage = \"./kernel\"\nintercepts = \"base\"\n\n[[vm]]\nname = \"b\"\n\
        memory = \"16 MiB\"\n[vm.intercepts]\nhlt = \"wait\"\n";

    /// The points of a plan that says this.
    pub fn points(plan: &str) -> Vec<Point> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("vm.toml"), POLICY).expect("a policy");
        std::fs::write(folder.path().join("kernel"), "kernel").expect("a kernel");
        let file = folder.path().join("sweep.toml");
        std::fs::write(&file, format!("policy = \"vm.toml\"\n{plan}")).expect("a plan");
        let plan = Plan::read(&file).expect("a plan");
        plan.points("vmm").expect("points")
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
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("vm.toml"), POLICY).expect("a policy");
        let file = folder.path().join("sweep.toml");
        std::fs::write(&file, "policy = \"vm.toml\"\n").expect("a plan");
        let plan = Plan::read(&file).expect("a plan");
        let key = |vmm| plan.points(vmm).expect("a point")[0].key.clone();
        assert_eq!(key("one"), key("one"));
        assert_ne!(key("one"), key("other"));
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
            let image = policy["vm"][0]["image"].as_str().expect("an image");
            assert!(
                image.starts_with('/') && image.ends_with("kernel"),
                "{image}"
            );
        }
    }

    #[test]
    fn a_plan_that_changes_nothing_is_one_point() {
        assert_eq!(points("").len(), 1);
    }

    #[test]
    fn what_no_plan_has_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("vm.toml"), POLICY).expect("a policy");
        let file = folder.path().join("sweep.toml");
        for (plan, what) in [
            ("intercept = []", "intercept"),
            ("values = { \"vm.npt\" = true }", "takes a list"),
            ("values = { npt = [true] }", "vm.npt"),
            ("guests = [\"nothing\"]", "cannot read"),
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

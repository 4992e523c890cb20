//! What the parameters of paths stand for. The tests of each feature register a sample of each resource that it has a
//! path to, so that the walks over the routes reach it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::pin::Pin;

use uuid::Uuid;

use super::changes::forms;
use super::{Place, World, parameters};

type Make = for<'a> fn(&'a World, Place) -> Pin<Box<dyn Future<Output = String> + 'a>>;

/// A kind of resource, and how one is made. Registered with [`sample!`].
pub(crate) struct Sample {
    /// The parameter of paths that it stands for, such as `contact`. None if no path has one.
    pub(crate) parameter: Option<&'static str>,
    /// Makes one in a place, and returns what its path says. Something that a place has only one of is that one.
    pub(crate) make: Make,
}

inventory::collect!(Sample);

/// Registers the function that makes a sample, with the parameter of paths that stands for it:
///
/// ```ignore
/// sample!("contact", new_contact);
/// async fn new_contact(world: &World, place: Place) -> Uuid { ... }
/// ```
///
/// Without a parameter, it only fills a table that no path leads into.
macro_rules! sample {
    ($make:path) => {
        $crate::harness::sample!(@ None, $make);
    };
    ($parameter:literal, $make:path) => {
        $crate::harness::sample!(@ Some($parameter), $make);
    };
    (@ $parameter:expr, $make:path) => {
        inventory::submit! {
            $crate::harness::Sample {
                parameter: $parameter,
                make: |world, place| Box::pin(async move { ToString::to_string(&$make(world, place).await) }),
            }
        }
    };
}
pub(crate) use sample;

/// One sample of each kind in a place, to turn the paths of routes into addresses.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    pub(crate) place: Place,
    values: BTreeMap<&'static str, String>,
    /// What the last parameter stands for in the paths of changes that act on a sample of their own.
    own: BTreeMap<&'static str, String>,
}

impl Samples {
    /// Makes them.
    pub(crate) async fn of(world: &World, place: Place) -> Self {
        let (makers, mut values, mut own) = (makers(), BTreeMap::new(), BTreeMap::new());
        for sample in inventory::iter::<Sample>().filter(|sample| sample.parameter.is_none()) {
            (sample.make)(world, place).await;
        }
        for (parameter, make) in &makers {
            values.insert(*parameter, make(world, place).await);
        }
        for change in forms().iter().filter(|change| change.own_sample) {
            own.insert(change.path, maker(&makers, change.path)(world, place).await);
        }
        Self { place, values, own }
    }

    /// The address of a path.
    pub(crate) fn path(&self, pattern: &str) -> String {
        let own = self.own.get_key_value(pattern).and_then(|(path, value)| Some((last(path)?, value)));
        let values = own.into_iter().chain(self.values.iter().map(|(name, value)| (*name, value)));
        let path = values.fold(pattern.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
        if let Some(name) = parameters(&path).next() {
            panic!("{}", missing(name, pattern));
        }
        path
    }

    /// What stands for a parameter.
    pub(crate) fn get(&self, parameter: &str) -> &str {
        self.values.get(parameter).unwrap_or_else(|| panic!("{}", missing(parameter, parameter)))
    }

    /// The same, if it is an id.
    pub(crate) fn id(&self, parameter: &str) -> Option<Uuid> {
        self.get(parameter).parse().ok()
    }

    /// The parameters that stand for an id.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.values.keys().filter(|name| self.id(name).is_some()).map(|name| (*name).to_owned()).collect()
    }

    /// The same samples, but for one.
    pub(crate) fn with(&self, parameter: &str, value: impl Display) -> Self {
        let mut other = self.clone();
        *other.values.get_mut(parameter).unwrap_or_else(|| panic!("{}", missing(parameter, parameter))) =
            value.to_string();
        other.own.retain(|path, _| last(path) != Some(parameter));
        other
    }

    /// The same samples, but for a new one that the path ends with: a request may change or delete what it finds.
    pub(crate) async fn renewed(&self, world: &World, pattern: &str) -> Self {
        match last(pattern) {
            Some(name) => self.with(name, maker(&makers(), pattern)(world, self.place).await),
            None => self.clone(),
        }
    }
}

impl World {
    /// Samples in Acme.
    pub(crate) async fn samples(&self) -> Samples {
        Samples::of(self, self.acme).await
    }
}

fn makers() -> BTreeMap<&'static str, Make> {
    let mut all = BTreeMap::new();
    for sample in inventory::iter::<Sample>() {
        let Some(parameter) = sample.parameter else { continue };
        assert!(all.insert(parameter, sample.make).is_none(), "two samples stand for {{{parameter}}}: remove one");
    }
    all
}

/// The maker of what the last parameter of a path stands for.
fn maker(makers: &BTreeMap<&'static str, Make>, pattern: &str) -> Make {
    let name = last(pattern).unwrap_or_else(|| panic!("{pattern} has no parameter"));
    *makers.get(name).unwrap_or_else(|| panic!("{}", missing(name, pattern)))
}

fn last(pattern: &str) -> Option<&str> {
    parameters(pattern).last()
}

fn missing(parameter: &str, pattern: &str) -> String {
    format!(
        "no sample stands for {{{parameter}}} of {pattern}: say sample!(\"{parameter}\", ...) in the tests of its feature"
    )
}

#[test]
fn every_parameter_of_a_path_has_a_sample_and_every_sample_a_path() {
    let table = super::registry();
    let paths = || table.table().iter().map(|route| &*route.path);
    let makers = makers();
    for path in paths() {
        if let Some(name) = parameters(path).find(|name| !makers.contains_key(name)) {
            panic!("{}", missing(name, path));
        }
    }
    for name in makers.keys() {
        let used = paths().any(|path| parameters(path).any(|parameter| parameter == *name));
        assert!(used, "no path has {{{name}}}: remove its sample");
    }
}

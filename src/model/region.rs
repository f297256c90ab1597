//! Region names: which spellings of different writers mean the same place.
//!
//! The runner writes `US`, Modal prints `us-east`, a cloud says `us-east-1`. Invariant: a region that
//! no alias knows is a group of its own, equal to itself in any letter case and to nothing else.

/// Groups of region names that mean the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions {
    /// (lower-case alias, group), longest alias first, so that the first match is the closest one.
    aliases: Vec<(String, String)>,
}

impl Regions {
    /// Builds the groups from a group's name and its aliases; the name is an alias of itself.
    pub fn new<G, A>(groups: impl IntoIterator<Item = (G, A)>) -> Self
    where
        G: Into<String>,
        A: IntoIterator<Item: AsRef<str>>,
    {
        let mut aliases = Vec::new();
        for (group, names) in groups {
            let group = group.into();
            aliases.push((group.to_ascii_lowercase(), group.clone()));
            for name in names {
                aliases.push((name.as_ref().trim().to_ascii_lowercase(), group.clone()));
            }
        }
        aliases.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        Self { aliases }
    }

    /// The group that a region belongs to; a region that no alias knows is its own group.
    pub fn group<'a>(&'a self, region: &'a str) -> &'a str {
        let region = region.trim();
        self.aliases
            .iter()
            .find(|(alias, _)| is_within(region, alias))
            .map_or(region, |(_, group)| group)
    }

    /// Whether two regions mean the same place.
    pub fn same(&self, a: &str, b: &str) -> bool {
        self.group(a).eq_ignore_ascii_case(self.group(b))
    }
}

impl Default for Regions {
    fn default() -> Self {
        Self::new([
            ("US", ["us-east", "us-central", "us-west"].as_slice()),
            ("EU", &["eu-west", "eu-north"]),
            (
                "ASIA",
                &["apac", "asia-pacific", "ap-southeast", "ap-northeast"],
            ),
        ])
    }
}

/// Whether `region` is the alias or a part of it: `us-east-1` and `us-east4` lie within `us-east`,
/// `use` doesn't lie within `us`.
fn is_within(region: &str, alias: &str) -> bool {
    let Some((head, rest)) = region.split_at_checked(alias.len()) else {
        return false;
    };
    let ends = rest
        .bytes()
        .next()
        .is_none_or(|b| b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    ends && head.eq_ignore_ascii_case(alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_place_are_the_same_region() {
        let regions = Regions::default();
        for (a, b) in [
            ("US", "us-east"),
            ("us", "us-west-2"),
            ("EU", "eu-north"),
            ("ASIA", "APAC"),
            ("asia-pacific", "ap-southeast-1"),
            ("ap-northeast", "Asia"),
            ("us-east4", "us-central"),
        ] {
            assert!(regions.same(a, b), "{a} and {b}");
        }
        assert_eq!(regions.group("us-west-2"), "US");
    }

    #[test]
    fn different_places_are_different_regions() {
        let regions = Regions::default();
        for (a, b) in [
            ("US", "EU"),
            ("us-east", "use"),
            ("eu-west", "asia-pacific"),
            ("mars", "venus"),
        ] {
            assert!(!regions.same(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn an_unknown_region_is_equal_to_itself_in_any_case() {
        let regions = Regions::default();
        assert!(regions.same("Moon-Base", "moon-base"));
        assert_eq!(regions.group("Moon-Base"), "Moon-Base");
    }

    #[test]
    fn configured_groups_replace_the_built_in_ones() {
        let regions = Regions::new([("SA", ["sa-east", "Brazil"])]);
        assert!(regions.same("brazil", "sa-east-1"));
        assert!(!regions.same("US", "us-east"));
    }
}

//! Conditional requests: entity tags and what they demand (RFC 9110, 13).

/// The entity tags of an `If-Match` or `If-None-Match` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: whatever there is.
    Any,
    /// These, without their quotes and whether weak or not.
    Listed(Vec<String>),
}

impl EntityTags {
    /// Reads a header; what is not an entity tag in it matches nothing.
    ///
    /// A `W/` is dropped: every entity tag that we hand out is the digest of
    /// exact bytes, so weak and strong comparison agree.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        if header.trim() == "*" {
            return Self::Any;
        }
        // Digests hold no comma, so splitting at commas cannot cut one of ours.
        let tags = header.split(',').filter_map(|tag| {
            let tag = tag.trim();
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let tag = tag.strip_prefix('"')?.strip_suffix('"')?;
            Some(tag.to_owned())
        });
        Self::Listed(tags.collect())
    }

    /// Whether what exists, with entity tag `current`, is among these.
    #[must_use]
    pub fn includes(&self, current: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag == current),
        }
    }
}

/// What must hold of the present state for a write to go ahead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`: there is something, and it is one of these.
    pub if_match: Option<EntityTags>,
    /// `If-None-Match`: there is nothing, or it is none of these.
    pub if_none_match: Option<EntityTags>,
}

impl Preconditions {
    /// Whether nothing is demanded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Whether a write may go ahead where `current` is the entity tag of what
    /// is there now, if anything is.
    #[must_use]
    pub fn hold(&self, current: Option<&str>) -> bool {
        let is_included = |tags: &EntityTags| current.is_some_and(|current| tags.includes(current));
        self.if_match.as_ref().is_none_or(is_included)
            && !self.if_none_match.as_ref().is_some_and(is_included)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_read_with_and_without_weakness() {
        let tags = EntityTags::parse(r#" "sha256:a" , W/"sha256:b", bare, "" "#);
        assert!(tags.includes("sha256:a") && tags.includes("sha256:b") && tags.includes(""));
        assert!(!tags.includes("bare"));
        assert_eq!(EntityTags::parse(" * "), EntityTags::Any);
    }

    #[test]
    fn if_match_wants_one_of_its_tags_and_something_there() {
        let if_match = |header| Preconditions {
            if_match: Some(EntityTags::parse(header)),
            if_none_match: None,
        };
        assert!(if_match(r#""a""#).hold(Some("a")));
        assert!(!if_match(r#""a""#).hold(Some("b")));
        assert!(!if_match(r#""a""#).hold(None));
        assert!(if_match("*").hold(Some("b")));
        assert!(!if_match("*").hold(None));
    }

    #[test]
    fn if_none_match_any_wants_nothing_there() {
        let absent = Preconditions {
            if_match: None,
            if_none_match: Some(EntityTags::Any),
        };
        assert!(absent.hold(None));
        assert!(!absent.hold(Some("a")));
        assert!(Preconditions::default().hold(None));
    }
}

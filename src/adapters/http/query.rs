//! Query parameters.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The query part of a request's URI, without its `?`.
///
/// Parameters that nobody asks for are ignored: clients add `ns`, `origin`,
/// `account` and others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Query<'a>(pub(super) Option<&'a str>);

impl<'a> Query<'a> {
    /// The values of every parameter called `name`, in their order.
    ///
    /// A `+` stays one: registries' values hold it (media types do), and no
    /// value holds the space that a form would mean by it.
    pub(super) fn all(self, name: &'static str) -> impl Iterator<Item = Cow<'a, str>> {
        let parameters = self.0.unwrap_or_default().split('&');
        parameters.filter_map(move |parameter| {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            (key == name).then(|| percent_decode_str(value).decode_utf8_lossy())
        })
    }

    /// The value of the first parameter called `name`.
    pub(super) fn first(self, name: &'static str) -> Option<Cow<'a, str>> {
        self.all(name).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_name_and_decoded() {
        let query = Query(Some(
            "digest=sha256%3Aabc&tag=a&ns=x&tag=b&empty&type=a/b+c",
        ));
        assert_eq!(query.first("digest").as_deref(), Some("sha256:abc"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.first("empty").as_deref(), Some(""));
        assert_eq!(query.first("type").as_deref(), Some("a/b+c"));
        assert_eq!(query.first("missing"), None);
        assert_eq!(Query(None).first("digest"), None);
    }
}

//! A tree of named texts: what a query-protocol form says in its dotted keys, and what its XML answer says in elements.
//! Both use the same names, so a setting that is only kept and shown again needs no type of its own.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// A value in a form or an XML answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Text(String),
    /// `<member>` elements.
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

impl Node {
    pub(crate) fn map() -> Self {
        Self::Map(BTreeMap::new())
    }

    /// Reads a form body such as `Action=X&Tags.member.1.Key=a`.
    pub(crate) fn from_form(body: &[u8]) -> Self {
        let mut root = Self::map();
        for (key, value) in form_urlencoded::parse(body) {
            root.insert(&key.split('.').collect::<Vec<_>>(), value.into_owned());
        }
        root.with_lists()
    }

    fn insert(&mut self, path: &[&str], value: String) {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::Text(value);
            return;
        };
        if !matches!(self, Self::Map(_)) {
            *self = Self::map();
        }
        if let Self::Map(fields) = self {
            fields.entry((*first).to_owned()).or_insert_with(Self::map).insert(rest, value);
        }
    }

    /// `{member: {1: a, 2: b}}` is how a list looks in a form.
    fn with_lists(self) -> Self {
        let Self::Map(mut fields) = self else { return self };
        if fields.len() == 1
            && let Some(members) = fields.remove("member")
        {
            let Self::Map(members) = members else { return Self::List(Vec::new()) };
            let mut members: Vec<_> = members.into_iter().collect();
            // The keys are numbers written as text, where "10" sorts before "2".
            members.sort_by_key(|(index, _)| index.parse::<usize>().unwrap_or(usize::MAX));
            return Self::List(members.into_iter().map(|(_, node)| node.with_lists()).collect());
        }
        Self::Map(fields.into_iter().map(|(name, node)| (name, node.with_lists())).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        match self {
            Self::Map(fields) => fields.get(name),
            _ => None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of the list `name`; empty if the list does not exist.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        self.list(name)
            .iter()
            .filter_map(|node| match node {
                Self::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn list(&self, name: &str) -> &[Node] {
        match self.get(name) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }

    /// Sets a field, unless there is nothing to set.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Node>) -> &mut Self {
        if let Self::Map(fields) = self {
            fields.insert(name.to_owned(), value.into());
        }
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Node>) -> Self {
        self.set(name, value);
        self
    }

    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(&escape(text)),
            Self::List(items) => items.iter().for_each(|item| element("member", item, out)),
            Self::Map(fields) => fields.iter().for_each(|(name, node)| element(name, node, out)),
        }
    }
}

fn element(name: &str, node: &Node, out: &mut String) {
    out.push_str(&format!("<{name}>"));
    node.write(out);
    out.push_str(&format!("</{name}>"));
}

impl<T: std::fmt::Display> From<T> for Node {
    fn from(value: T) -> Self {
        Self::Text(value.to_string())
    }
}

impl FromIterator<Node> for Node {
    fn from_iter<I: IntoIterator<Item = Node>>(items: I) -> Self {
        Self::List(items.into_iter().collect())
    }
}

pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_becomes_a_tree_and_the_tree_becomes_xml() {
        let form = "Action=X&Names.member.2=b&Names.member.1=a%3C&Names.member.10=j&Spec.Dims.member.1.Name=n";
        let tree = Node::from_form(form.as_bytes());
        assert_eq!(tree.text("Action"), Some("X"));
        assert_eq!(tree.texts("Names"), ["a<", "b", "j"]);
        let mut out = String::new();
        tree.write(&mut out);
        assert_eq!(
            out,
            "<Action>X</Action><Names><member>a&lt;</member><member>b</member><member>j</member></Names>\
             <Spec><Dims><member><Name>n</Name></member></Dims></Spec>"
        );
    }
}

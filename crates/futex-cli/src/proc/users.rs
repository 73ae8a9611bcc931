//! The names of users.

use std::collections::HashMap;

/// The names in `/etc/passwd`. A user of another directory (LDAP) is shown by number.
#[derive(Debug)]
pub(crate) struct Users(HashMap<u32, String>);

impl Users {
    pub(crate) fn load() -> Self {
        Self::parse(&std::fs::read("/etc/passwd").unwrap_or_default())
    }

    fn parse(passwd: &[u8]) -> Self {
        let mut names = HashMap::new();
        for line in String::from_utf8_lossy(passwd).lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
                // As the C library does it, the first one counts.
                names.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Self(names)
    }

    pub(crate) fn name(&self, uid: u32) -> Option<&str> {
        self.0.get(&uid).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts() {
        let users = Users::parse(b"root:x:0:0:root:/root:/bin/sh\n#\nbad:x:y\n\xff:x:7:7::/:\ntoor:x:0:0:::\n");
        assert_eq!((users.name(0), users.name(7), users.name(8)), (Some("root"), Some("\u{fffd}"), None));
    }
}

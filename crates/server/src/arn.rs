//! Names of resources across accounts: `arn:aws:dms:<region>:<account>:<kind>:<id>`.

use rand::Rng as _;

/// The kinds of resources that have an ARN here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArnKind {
    Instance,
    Endpoint,
    Task,
    Certificate,
    SubnetGroup,
    AssessmentRun,
    IndividualAssessment,
}

impl ArnKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Instance,
        Self::Endpoint,
        Self::Task,
        Self::Certificate,
        Self::SubnetGroup,
        Self::AssessmentRun,
        Self::IndividualAssessment,
    ];

    /// The kind's word in the ARN.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Instance => "rep",
            Self::Endpoint => "endpoint",
            Self::Task => "task",
            Self::Certificate => "cert",
            Self::SubnetGroup => "subgrp",
            Self::AssessmentRun => "assessment-run",
            Self::IndividualAssessment => "individual-assessment",
        }
    }
}

/// The account and region whose resources this server answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) region: String,
    pub(crate) account_id: String,
}

impl Home {
    /// The ARN of a resource of this home.
    pub(crate) fn arn(&self, kind: ArnKind, id: &str) -> String {
        format!(
            "arn:aws:dms:{}:{}:{}:{id}",
            self.region,
            self.account_id,
            kind.word()
        )
    }

    /// Kind and id of an ARN of this home; `None` for anything else.
    pub(crate) fn parse<'a>(&self, arn: &'a str) -> Option<(ArnKind, &'a str)> {
        let mut parts = arn.splitn(7, ':');
        let head = [
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
        ];
        if head
            != [
                "arn",
                "aws",
                "dms",
                self.region.as_str(),
                self.account_id.as_str(),
            ]
        {
            return None;
        }
        let word = parts.next()?;
        let kind = ArnKind::ALL.into_iter().find(|kind| kind.word() == word)?;
        parts
            .next()
            .filter(|id| !id.is_empty())
            .map(|id| (kind, id))
    }

    /// The id in an ARN of this home and kind.
    pub(crate) fn id_in<'a>(&self, kind: ArnKind, arn: &'a str) -> Option<&'a str> {
        self.parse(arn)
            .filter(|(found, _)| *found == kind)
            .map(|(_, id)| id)
    }
}

/// Letters and digits of generated ids, as the service writes them.
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const ID_LENGTH: usize = 26;

/// A new id: 130 random bits, so no two are ever equal.
pub(crate) fn random_id() -> String {
    let mut rng = rand::rng();
    (0..ID_LENGTH)
        .map(|_| char::from(ID_ALPHABET[rng.random_range(0..ID_ALPHABET.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_its_kind_and_id() {
        let home = Home {
            region: "eu-central-1".into(),
            account_id: "000000000000".into(),
        };
        let arn = home.arn(ArnKind::Endpoint, "ABC");
        assert_eq!(arn, "arn:aws:dms:eu-central-1:000000000000:endpoint:ABC");
        assert_eq!(home.parse(&arn), Some((ArnKind::Endpoint, "ABC")));
        assert_eq!(home.id_in(ArnKind::Task, &arn), None);
        for bad in [
            "",
            "x",
            "arn:aws:dms:eu-central-1:000000000000:endpoint:",
            "arn:aws:dms:us-east-1:000000000000:endpoint:ABC",
            "arn:aws:acm:eu-central-1:000000000000:endpoint:ABC",
        ] {
            assert_eq!(home.parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn generated_ids_have_the_service_s_form() {
        let id = random_id();
        assert_eq!(id.len(), 26);
        assert!(id.bytes().all(|byte| ID_ALPHABET.contains(&byte)));
        assert_ne!(id, random_id());
    }
}

//! What the page says, in the languages that it knows.

/// The words of one language.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) language: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) look_up: &'static str,
    pub(super) no_address: &'static str,
    pub(super) trouble: &'static str,
    pub(super) results: &'static str,
    pub(super) nothing: &'static str,
    pub(super) nothing_more: &'static str,
    pub(super) domain_key: &'static str,
    pub(super) openpgp: &'static str,
    pub(super) smime: &'static str,
    pub(super) fingerprint: &'static str,
    pub(super) sha256: &'static str,
    pub(super) state: &'static str,
    pub(super) algorithm: &'static str,
    pub(super) created: &'static str,
    pub(super) valid_from: &'static str,
    pub(super) valid_until: &'static str,
    pub(super) for_ever: &'static str,
    pub(super) names: &'static str,
    pub(super) usable: &'static str,
    pub(super) idle: &'static str,
    pub(super) expired: &'static str,
    pub(super) early: &'static str,
    pub(super) revoked: &'static str,
    pub(super) download: &'static str,
    pub(super) scan: &'static str,
    pub(super) qr: &'static str,
    pub(super) compare: &'static str,
    pub(super) log: &'static str,
    pub(super) log_verified: &'static str,
    pub(super) log_absent: &'static str,
    pub(super) log_unverified: &'static str,
    pub(super) log_none: &'static str,
    pub(super) log_unknown: &'static str,
    pub(super) log_name: &'static str,
    pub(super) log_size: &'static str,
    pub(super) log_sequence: &'static str,
    pub(super) log_time: &'static str,
    pub(super) log_proof: &'static str,
    pub(super) log_checked_by: &'static str,
}

const ENGLISH: Words = Words {
    language: "en",
    title: "Key directory",
    about: "Find the key of a mailbox, to write to it encrypted. Only whole addresses are answered; nothing is listed.",
    label: "E-mail address",
    hint: "for example alice@example.org",
    look_up: "Look up",
    no_address: "This is not a whole e-mail address.",
    trouble: "The directory cannot be read at the moment. This does not mean that there is no key; please try again later.",
    results: "Result for",
    nothing: "No key is published for this address.",
    nothing_more: "This page does not say whether the mailbox exists.",
    domain_key: "This is the key of the whole domain: mail to the address is decrypted by the gateway of the domain.",
    openpgp: "OpenPGP key",
    smime: "S/MIME certificate",
    fingerprint: "Fingerprint",
    sha256: "Fingerprint (SHA-256)",
    state: "State",
    algorithm: "Algorithm",
    created: "Created",
    valid_from: "Valid from",
    valid_until: "Valid until",
    for_ever: "does not expire",
    names: "Names in it",
    usable: "Valid: mail can be encrypted to it",
    idle: "Valid, but not for encryption",
    expired: "Expired: do not encrypt to it any more",
    early: "Not valid yet",
    revoked: "Revoked by its holder: do not use it any more",
    download: "Download",
    scan: "For a phone: scan it with the key app.",
    qr: "QR code with the fingerprint",
    compare: "This page shows which key the domain publishes. Whether it belongs to the person only a comparison with them tells: \
              read the fingerprint to each other by telephone, or scan the code from their screen.",
    log: "Key log",
    log_verified: "The key log confirms exactly these certificates as the newest of the mailbox.",
    log_absent: "The key log confirms that there is no certificate for this address.",
    log_unverified: "The proof of the key log does NOT fit what is shown here. Do not rely on it; try again in a minute, and tell \
                     the administrator if it stays so.",
    log_none: "This directory keeps no key log.",
    log_unknown: "The key log cannot give a proof at the moment.",
    log_name: "Log",
    log_size: "Entries in the log",
    log_sequence: "Changes of this mailbox so far",
    log_time: "Checkpoint of",
    log_proof: "Download the proof",
    log_checked_by: "This server has verified the proof itself. Whoever does not want to trust it downloads the proof and verifies it \
                     with gatepost-keydir log verify.",
};

const GERMAN: Words = Words {
    language: "de",
    title: "Schlüsselverzeichnis",
    about: "Hier findet man den Schlüssel eines Postfachs, um verschlüsselt zu schreiben. Gefunden werden nur ganze Adressen; \
            eine Liste gibt es nicht.",
    label: "E-Mail-Adresse",
    hint: "zum Beispiel alice@example.org",
    look_up: "Nachschlagen",
    no_address: "Das ist keine ganze E-Mail-Adresse.",
    trouble: "Das Verzeichnis ist gerade nicht lesbar. Das heißt nicht, dass es keinen Schlüssel gibt; bitte später noch einmal.",
    results: "Ergebnis für",
    nothing: "Für diese Adresse ist kein Schlüssel veröffentlicht.",
    nothing_more: "Ob es das Postfach gibt, sagt diese Seite nicht.",
    domain_key: "Das ist der Schlüssel der ganzen Domain: Post an diese Adresse entschlüsselt das Gateway der Domain.",
    openpgp: "OpenPGP-Schlüssel",
    smime: "S/MIME-Zertifikat",
    fingerprint: "Fingerabdruck",
    sha256: "Fingerabdruck (SHA-256)",
    state: "Zustand",
    algorithm: "Verfahren",
    created: "Erzeugt",
    valid_from: "Gültig ab",
    valid_until: "Gültig bis",
    for_ever: "läuft nicht ab",
    names: "Namen darin",
    usable: "Gültig: man kann damit verschlüsseln",
    idle: "Gültig, aber nicht zum Verschlüsseln",
    expired: "Abgelaufen: nicht mehr damit verschlüsseln",
    early: "Noch nicht gültig",
    revoked: "Vom Inhaber widerrufen: nicht mehr benutzen",
    download: "Herunterladen",
    scan: "Für das Telefon: mit der Schlüssel-App scannen.",
    qr: "QR-Code mit dem Fingerabdruck",
    compare: "Diese Seite zeigt, welchen Schlüssel die Domain veröffentlicht. Ob er der Person gehört, zeigt nur ein Vergleich mit ihr: \
              einander den Fingerabdruck am Telefon vorlesen oder den Code von ihrem Bildschirm scannen.",
    log: "Schlüssel-Log",
    log_verified: "Das Schlüssel-Log bestätigt genau diese Zertifikate als die neuesten des Postfachs.",
    log_absent: "Das Schlüssel-Log bestätigt, dass es für diese Adresse kein Zertifikat gibt.",
    log_unverified: "Der Beweis des Schlüssel-Logs passt NICHT zu dem, was hier steht. Verlassen Sie sich nicht darauf; versuchen Sie es in \
                     einer Minute noch einmal, und sagen Sie es der Administration, wenn es so bleibt.",
    log_none: "Dieses Verzeichnis führt kein Schlüssel-Log.",
    log_unknown: "Das Schlüssel-Log kann gerade keinen Beweis geben.",
    log_name: "Log",
    log_size: "Einträge im Log",
    log_sequence: "Änderungen dieses Postfachs bisher",
    log_time: "Stand vom",
    log_proof: "Beweis herunterladen",
    log_checked_by: "Dieser Server hat den Beweis selbst geprüft. Wer ihm nicht trauen will, lädt den Beweis herunter und prüft ihn mit \
                     gatepost-keydir log verify.",
};

impl Words {
    /// The language that the reader likes best of those that there are (RFC 9110, 12.5.4); English if none.
    pub(super) fn accepted(header: Option<&str>) -> &'static Self {
        let mut best: (&Self, f32) = (&ENGLISH, 0.0);
        for range in header.unwrap_or_default().split(',').take(32) {
            let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
            let weight = weight.trim().strip_prefix("q=").map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let language = tag.trim().split('-').next().unwrap_or_default();
            let known =
                [&ENGLISH, &GERMAN].into_iter().find(|words| words.language.eq_ignore_ascii_case(language));
            if let Some(words) = known.filter(|_| weight > best.1) {
                best = (words, weight);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_chooses_the_language() {
        for (header, language) in [
            ("", "en"),
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("fr, en;q=0.5, de;q=0.7", "de"),
            ("en-GB, de;q=0.9", "en"),
            ("tlh", "en"),
            ("de;q=0", "en"),
            ("de;q=NaN", "en"),
        ] {
            assert_eq!(Words::accepted(Some(header)).language, language, "{header}");
        }
        assert_eq!(Words::accepted(None).language, "en");
    }
}

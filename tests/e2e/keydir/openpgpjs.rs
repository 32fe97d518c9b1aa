//! Mail programs in browsers find keys by the clients of OpenPGP.js.

use std::path::PathBuf;
use std::process::Command;

use tests::Gpg;
use tests::KeyDirectory;
use tests::TlsIdentity;
use tests::run;
use tests::world::World;
use tests::world::in_private_network;

/// Looks one key up; its fingerprint and User IDs, or `none`.
const SCRIPT: &str = r#"
import { createRequire } from 'node:module';
const [, , home, method, ...rest] = process.argv;
const require = createRequire(home + '/x.js');
const openpgp = require('openpgp');
const client = (name) => { const module = require(name); return module.default ?? module; };
let key = null;
if (method === 'hkp') {
  const armored = await new (client('@openpgp/hkp-client'))(rest[0]).lookup({ query: rest[1] });
  key = armored && await openpgp.readKey({ armoredKey: armored });
} else {
  const binary = await new (client('@openpgp/wkd-client'))().lookup({ email: rest[0] });
  key = binary && await openpgp.readKey({ binaryKey: binary });
}
console.log(key ? `${key.getFingerprint().toUpperCase()} ${key.getUserIDs().join(' ')}` : 'none');
"#;

/// Where `./setup test` put the clients.
fn clients() -> PathBuf {
    let ours = std::env::current_exe().unwrap();
    let mut candidates = ours.ancestors().map(|path| path.join("openpgpjs"));
    let found = candidates.find(|path| path.join("node_modules/openpgp/package.json").exists());
    found.expect("target/openpgpjs holds the clients of OpenPGP.js: run `./setup test`")
}

#[test]
fn openpgp_js_finds_keys_by_wkd_and_hkp() {
    in_private_network("keydir::openpgpjs::openpgp_js_finds_keys_by_wkd_and_hkp", || {
        let mut world = World::new();
        // alpha has the host for the advanced method, beta has not.
        world.zone("world").record("openpgpkey.alpha.world. A 127.0.0.1");
        world.zone("world").record("beta.world. A 127.0.0.1");
        let world = world.start();
        let tls = TlsIdentity::new(&["openpgpkey.alpha.world", "beta.world"]);
        let section = tls.write(world.path());
        let mut directory = KeyDirectory::new(&["alpha.world", "beta.world"]);
        let owner = Gpg::new();
        for address in ["joe.doe@alpha.world", "joe.doe@beta.world"] {
            owner.generate(&format!("Joe <{address}>"));
            directory.publish(&owner.certificate(address));
        }
        directory.serve("listen = [\"https:127.0.0.1:443\", \"http:127.0.0.1:11371\"]", &section);
        let script = world.path().join("lookup.mjs");
        std::fs::write(&script, SCRIPT).unwrap();
        let look_up = |words: &[&str]| {
            let mut node = Command::new("node");
            node.env("NODE_EXTRA_CA_CERTS", world.path().join("ca.pem"));
            node.env("NODE_NO_WARNINGS", "1").arg(&script).arg(clients()).args(words);
            run(&mut node, b"")
        };
        for address in ["joe.doe@alpha.world", "joe.doe@beta.world"] {
            let wanted = format!("{} Joe <{address}>\n", owner.fingerprint(address));
            assert_eq!(look_up(&["wkd", address]).success().text(), wanted);
            assert_eq!(look_up(&["hkp", "http://127.0.0.1:11371", address]).success().text(), wanted);
        }
        assert_eq!(
            look_up(&["hkp", "http://127.0.0.1:11371", "nobody@alpha.world"]).success().text(),
            "none\n"
        );
        // This client says by an error that there is nothing.
        let nobody = look_up(&["wkd", "nobody@alpha.world"]);
        assert!(nobody.code != 0 || nobody.text() == "none\n", "{}", nobody.text());
    });
}

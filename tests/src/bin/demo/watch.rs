//! `--stay`: both domains keep running, and new log lines of the gateways are shown.

use std::time::Duration;

use crate::acts::ALICE;
use crate::acts::BOB;
use crate::acts::World;

/// Explains how to send, then shows what happens until the process is ended.
pub(crate) fn stay(world: &World) -> ! {
    let (alpha, beta) = (&world.alpha, &world.beta);
    println!("\nBoth domains keep running. Mailboxes: alice, bob, carol, dave and postmaster at each.\n");
    for site in [alpha, beta] {
        let ports = site.postfix.ports;
        println!("   {}", site.postfix.domain);
        println!("      submission  127.0.0.1:{} (no TLS, no login)", ports.submission);
        println!("      from others 127.0.0.1:{}", ports.inbound);
        println!("      metrics     http://127.0.0.1:{}/metrics", site.gatepost.metrics_port());
        println!("      mailboxes   {}", site.postfix.maildirs().display());
        println!("      gatepost    --config {}", site.gatepost.config().display());
        println!("      postfix     -c {}\n", site.postfix.config().display());
    }
    println!("To send, give the submission port to any mail program, or (as root):\n");
    println!(
        "   printf 'From: {ALICE}\\nTo: {BOB}\\nSubject: hello\\n\\nHello!\\n' |\n      \
         /usr/sbin/sendmail -C {} -t -f {ALICE}\n",
        alpha.postfix.config().display()
    );
    println!("Log lines of both gateways follow. Ctrl-C ends everything and removes it.\n");
    let mut shown = [alpha.gatepost.log().len(), beta.gatepost.log().len()];
    loop {
        for (site, shown) in [alpha, beta].iter().zip(&mut shown) {
            let log = site.gatepost.log();
            for line in log.get(*shown..).unwrap_or_default().lines() {
                println!("{:14}{line}", site.postfix.domain);
            }
            *shown = log.len();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

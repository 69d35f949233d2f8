"""alexnet explore: what a network makes of an image, in the browser."""

from contextlib import suppress
from pathlib import Path

from tyro.conf import Positional

from alexnet.cli.console import err, out_line, print_json, show
from alexnet.cli.progress import Bar
from alexnet.extras import need
from alexnet.words import gigabytes


def explore(
    runs: Positional[tuple[str, ...]] = (),
    data: Path | None = None,
    images: tuple[str, ...] = (),
    port: int = 8012,
    browser: bool = True,
    device: str = "auto",
    export: Path | None = None,
    json: bool = False,
) -> int:
    """Look inside trained networks in the browser: an image on its way through, kernels, why a label, runs compared.

    A page on this machine alone, until Ctrl-C. Images can be dropped on it; they stay in memory and are gone with it.

    Args:
        runs: run folders or network files, one or several to compare; without any, the starter network.
        data: a prepared dataset, whose images can be chosen; by default the one the first run was trained on, if it is there.
        images: files, or images of the dataset as val-12, that are there from the start; without a dataset, photographs that
            come with the dependencies.
        port: where the page is; if that is taken, the next that is free. 0: any.
        browser: open the page in a browser.
        device: auto, cpu, cuda or mps.
        export: write the page into this folder instead, as plain files for any web host, with what it shows of these runs and
            images; without --images, of six images that validate the run.
        json: print one JSON document on stdout: the page's address, or what was exported.
    """
    need("web")
    import tempfile
    import webbrowser

    from alexnet.explore.export import export as write_site
    from alexnet.explore.guard import private_link
    from alexnet.explore.server import serve
    from alexnet.explore.session import Session

    session = Session(runs, data, images, device, live=export is None)
    if export:
        with Bar("images", err) as bar:
            done = write_site(session, export, bar.update)
        session.close()
        show(done, json, f"{done.path}: {done.files:,} files, {gigabytes(done.bytes)}; put it on any web host")
        return 0

    def ready(url: str) -> None:
        if json:
            print_json({"url": url})
        else:
            out_line(url)
        err.print("Ctrl-C ends it")
        if browser:
            # A browser in a snap, or in Windows around WSL, cannot read the file: then the address that was printed is to
            # be opened by hand. A folder of mkdtemp's is its user's alone.
            webbrowser.open(private_link(Path(folder), url))

    with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="alexnet-explore-") as folder:
        serve(session, port, ready)
    return 0

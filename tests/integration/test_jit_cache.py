"""Compiled kernels on disk: found again at the next start, never stale, never trusted blindly, never in the way.

What matters happens between processes, so each start here is a process of its own, most of them on a copy of the
package to which two kernel modules were added, one calling the other.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import serving
from serving.jit import fingerprint
from tests.conformance.clients import CLIENTS
from tests.conformance.rows import draw, split
from tests.conftest import MODEL_REPO
from tests.integration.commands import epm
from tests.support.gateways import gateway

pytestmark = pytest.mark.integration

INNER = """
from serving.jit import kernel


@kernel
def inner(x):
    return x + 1.0
"""
OUTER = """
from serving.inner_kernels import inner
from serving.jit import kernel


@kernel
def outer(x):
    return inner(x) * 10.0


@kernel
def other(x):
    return outer(x) / 10.0
"""
ASK = """
from serving import jit
from serving.outer_kernels import other, outer
print(outer(1.0), jit.counts.compiled, jit.counts.loaded)
"""
WARM = "import sys; from serving.cli import main; sys.exit(main(['warm']))"
PREDICT = """
import msgspec, numpy as np
from serving import jit, warm
from serving.contract import GraphInput, Program, Step
from serving.features.program import compile_program
from serving.features.rows import RowSchema
made = msgspec.structs.replace(
    warm._contract(),
    program=Program(steps=(Step("clip", "held", ("number",), (0.0, 5.0)),), features=("held",)),
    tensors=(GraphInput("features", (1,)),),
)
rows = RowSchema(made).assemble({"number": [7.0]}, max_rows=1)
print(compile_program(made).run(rows).features[0, 0], jit.counts.compiled, jit.counts.loaded)
"""
WORLD = Path("/tmp")


def install(root: Path) -> Path:
    """A folder with a copy of the package and the two modules."""
    shutil.copytree(Path(serving.__file__).parent, root / "serving", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "serving" / "inner_kernels.py").write_text(INNER)
    (root / "serving" / "outer_kernels.py").write_text(OUTER)
    return root


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """An installation that no test changes."""
    return install(tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def first_start(package, tmp_path_factory) -> Path:
    """The cache after the first start of `package`, copied by tests."""
    cache = tmp_path_factory.mktemp("first") / "cache"
    assert asked(start(package, cache)) == (20.0, 2, 0)
    assert len(files(cache)) == 2
    return cache


@pytest.fixture
def cache(tmp_path) -> Path:
    """A cache folder that is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def filled(first_start, cache) -> Path:
    """A cache folder after the first start."""
    return shutil.copytree(first_start, cache)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory(dir=WORLD) as name:
        Path(name).chmod(0o755)
        yield Path(name)
        subprocess.run(["chmod", "-R", "u+w", name], check=True)


@pytest.fixture
def as_nobody() -> tuple[str, ...]:
    """What to put before a command to run it as a user who may read everything, as the interpreter may stand in root's
    home, and write nothing of root's."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a process as somebody else")
    capabilities = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    command = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *capabilities)
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("setpriv is missing here, or may not change the user")
    return command


def start(
    package: Path,
    cache: Path | None,
    code: str = ASK,
    as_user: tuple[str, ...] = (),
    timeout: float = 120,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run `code` on the package in a new process. No byte code: it is told from the source by whole seconds only."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EPM_", "NUMBA_", "XDG_"))}
    given = {"EPM_JIT_CACHE_DIR": str(cache)} if cache else {}
    return subprocess.run(
        [*as_user, sys.executable, "-c", code],
        cwd=package,
        env={**kept, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **given, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def asked(done: subprocess.CompletedProcess[str]) -> tuple[float, int, int]:
    """What ASK printed: the result, kernels compiled, kernels loaded."""
    assert done.returncode == 0, done.stderr
    result, compiled, loaded = done.stdout.split()
    return float(result), int(compiled), int(loaded)


def files(cache: Path) -> set[str]:
    return {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()}


def only_folder(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


def edit_inner(package: Path) -> None:
    source = package / "serving" / "inner_kernels.py"
    source.write_text(source.read_text().replace("x + 1.0", "x + 2.0"))


def test_an_operation_that_is_edited_gives_its_new_result_at_the_next_start(tmp_path, cache) -> None:
    """The kernel of programs stands in another file than the operations that it calls."""
    package = install(tmp_path / "installation")
    quick = {"NUMBA_OPT": "1"}
    assert asked(start(package, cache, PREDICT, **quick))[0] == 5.0
    result, compiled, loaded = asked(start(package, cache, PREDICT, **quick))
    assert (result, compiled) == (5.0, 0)
    assert loaded > 0
    operations = package / "serving" / "features" / "operation_kernels.py"
    source = operations.read_text()
    edited = source.replace("y[i] = high if v > high else v", "y[i] = high + 1.0 if v > high else v")
    assert edited != source
    operations.write_text(edited)
    assert asked(start(package, cache, PREDICT, **quick))[0] == 6.0


def test_the_second_start_compiles_nothing(package, filled):
    kept = files(filled)
    assert asked(start(package, filled)) == (20.0, 0, 1)
    assert files(filled) == kept


def test_a_kernel_that_another_module_calls_is_edited_and_the_next_start_computes_the_new_thing(tmp_path, filled):
    installed = install(tmp_path / "installation")
    edit_inner(installed)
    assert asked(start(installed, filled)) == (30.0, 2, 0)


def test_without_the_hash_in_the_folder_name_it_would_go_on_computing_the_old_thing(tmp_path, cache):
    """What the test above would see if it were not for the hash."""
    installed = install(tmp_path / "installation")
    same_folder = "from serving import jit\njit.fingerprint = lambda: '0' * 20\n" + ASK
    assert asked(start(installed, cache, same_folder)) == (20.0, 2, 0)
    edit_inner(installed)
    assert asked(start(installed, cache, same_folder)) == (20.0, 0, 1)


def test_neither_the_place_of_the_installation_nor_times_of_files_matter(filled, tmp_path):
    """An image layer keeps whole seconds, a build in stages copies to another folder."""
    moved = install(tmp_path / "elsewhere")
    for path in (*moved.rglob("*.py"), *filled.rglob("*")):
        os.utime(path, (1, 1))
    assert asked(start(moved, filled)) == (20.0, 0, 1)


@pytest.mark.parametrize(
    "options", [{"NUMBA_BOUNDSCHECK": "1"}, {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}]
)
def test_code_for_other_options_or_another_processor_is_not_used(options, package, filled):
    assert asked(start(package, filled, **options)) == (20.0, 2, 0)
    assert len(files(filled)) == 4


def test_a_kernel_that_was_loaded_is_called_by_one_that_is_compiled(package, filled):
    assert start(package, filled, ASK + "print(other(2.0))").stdout.split() == ["20.0", "0", "1", "3.0"]
    assert len(files(filled)) == 3


def test_two_that_start_together_on_an_empty_cache_both_come_up_and_leave_a_whole_one(package, cache):
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: start(package, cache), range(2)))
    assert [asked(done)[0] for done in both] == [20.0, 20.0]
    assert [done.stderr for done in both] == ["", ""]
    assert len(files(cache)) == 2
    assert asked(start(package, cache)) == (20.0, 0, 1)


def test_damaged_files_are_compiled_again_and_mended(package, filled):
    """One is empty, as after a power cut, in the other one bit is turned."""
    for path in only_folder(filled).iterdir():
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(b"" if ".inner-" in path.name else bytes(content))
    done = start(package, filled)
    assert asked(done) == (20.0, 2, 0)
    assert done.stderr.count("cannot be read, it is compiled again: damaged") == 2
    assert asked(start(package, filled)) == (20.0, 0, 1)


def test_a_folder_that_vanishes_while_running_costs_no_answer(package, filled):
    code = f"import shutil\n{ASK}shutil.rmtree({str(filled)!r})\nprint(other(2.0))"
    done = start(package, filled, code)
    assert (done.returncode, done.stdout.split()) == (0, ["20.0", "0", "1", "3.0"]), done.stderr
    assert done.stderr.count("is not kept, the next start compiles it again") == 1


def test_a_full_disk_costs_no_answer(package, cache):
    code = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n{ASK}print(other(2.0))"
    done = start(package, cache, code)
    assert (done.returncode, done.stdout.split()) == (0, ["20.0", "2", "0", "3.0"]), done.stderr
    assert done.stderr.count("is not kept, the next start compiles it again") == 1
    assert files(cache) == set()


@pytest.mark.parametrize("given", [{"HOME": "/proc/none"}, {"EPM_JIT_CACHE_DIR": "/proc/none"}])
def test_a_folder_that_cannot_be_made_costs_the_time_to_compile(given, package):
    done = start(package, None, **given)
    assert asked(done) == (20.0, 2, 0)
    assert done.stderr.count("compiled kernels are not kept, every start compiles them: /proc/none") == 1


def test_a_user_without_a_home_is_told_what_to_set(package, as_nobody):
    """Containers run under numbers that no user has."""
    command = tuple(part.replace("--reuid=65534", "--reuid=654321") for part in as_nobody)
    done = start(package, None, "import os\ndel os.environ['HOME']\n" + ASK, command)
    assert asked(done) == (20.0, 2, 0)
    assert "compiled kernels are not kept: no home folder, and no EPM_JIT_CACHE_DIR" in done.stderr


def test_the_user_s_cache_folder_is_where_kernels_are_kept_when_nothing_else_is_said(package, tmp_path):
    assert asked(start(package, None, HOME=str(tmp_path))) == (20.0, 2, 0)
    assert len(files(tmp_path / ".cache" / "epm" / "jit")) == 2


def test_folders_of_former_versions_go_after_30_days_without_a_start(package, cache):
    cache.mkdir()
    month = time.time() - 31 * 86400
    former = "kernels-" + "a" * 20
    names = {former: month, "kernels-" + "b" * 20: month + 2 * 86400, "kernels-of-mine": month}
    for name, used in names.items():
        (cache / name).mkdir()
        (cache / name / "file").touch()
        os.utime(cache / name, (used, used))
    assert asked(start(package, cache)) == (20.0, 2, 0)
    left = {path.name for path in cache.iterdir()}
    assert set(names) - left == {former}
    (new,) = left - set(names)
    os.utime(cache / new, (month, month))
    assert asked(start(package, cache)) == (20.0, 0, 1)
    assert (cache / new).stat().st_mtime > month + 86400


def test_code_that_everybody_can_replace_is_not_run(package, filled):
    only_folder(filled).chmod(0o777)
    done = start(package, filled)
    assert asked(done) == (20.0, 2, 0)
    assert "not kept, every start compiles them" in done.stderr
    assert "everybody may write into it" in done.stderr


def test_a_link_to_elsewhere_is_not_followed(package, filled, tmp_path):
    folder = only_folder(filled)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    done = start(package, filled)
    assert asked(done) == (20.0, 2, 0)
    assert "not kept, every start compiles them" in done.stderr


# As another user.


def test_nobody_on_a_read_only_installation_with_a_cache_folder_given(package, open_folder, as_nobody):
    read_only = shutil.copytree(package, open_folder / "installation")
    subprocess.run(["chmod", "-R", "a-w", read_only], check=True)
    cache = open_folder / "cache"
    cache.mkdir()
    os.chown(cache, 65534, 65534)
    proof = "import os\nassert os.getuid() == 65534\nassert not os.access('serving', os.W_OK)\n"
    without_home = {"HOME": "/nonexistent"}
    assert asked(start(read_only, cache, proof + ASK, as_nobody, **without_home)) == (20.0, 2, 0)
    again = start(read_only, cache, proof + ASK, as_nobody, **without_home)
    assert asked(again) == (20.0, 0, 1)
    assert again.stderr == ""


def test_a_cache_that_root_filled_at_image_build_serves_nobody(package, open_folder, as_nobody):
    cache = open_folder / "cache"
    assert asked(start(package, cache)) == (20.0, 2, 0)
    assert all(path.stat().st_mode & 0o055 == 0o055 for path in (cache, only_folder(cache)))
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in only_folder(cache).iterdir())
    subprocess.run(["chmod", "-R", "a-w", cache], check=True)
    done = start(package, cache, ASK + "print(other(2.0))", as_nobody)
    assert (done.returncode, done.stdout.split()) == (0, ["20.0", "0", "1", "3.0"])
    assert done.stderr.count("Permission denied") == 1  # `other` is new and cannot be written


def test_an_empty_cache_that_cannot_be_written_costs_the_time_to_compile(package, open_folder, as_nobody):
    done = start(package, open_folder, ASK, as_nobody)
    assert asked(done) == (20.0, 2, 0)
    assert done.stderr.count("compiled kernels are not kept, every start compiles them") == 1
    assert files(open_folder) == set()


def test_code_of_a_stranger_is_not_run(package, filled, as_nobody):
    os.chown(only_folder(filled), 65533, 65533)
    done = start(package, filled, ASK, as_nobody)
    assert asked(done) == (20.0, 2, 0)
    assert "it belongs to user 65533" in done.stderr


@pytest.mark.parametrize(("mode", "group"), [(0o777, "--clear-groups"), (0o2777, "--groups=4242")])
def test_a_mounted_volume_that_everybody_may_write_to_is_used(mode, group, package, open_folder, as_nobody):
    """Kubernetes mounts an `emptyDir` with mode 0777, or 2777 and the pod's `fsGroup`; we make our own folder in it."""
    os.chown(open_folder, 0, 4242)
    open_folder.chmod(mode)
    command = tuple(group if part == "--clear-groups" else part for part in as_nobody)
    assert asked(start(package, open_folder, ASK, command)) == (20.0, 2, 0)
    assert asked(start(package, open_folder, ASK, command)) == (20.0, 0, 1)


@pytest.mark.parametrize(("group", "loaded"), [("--groups=4242", 1), ("--clear-groups", 0)])
def test_a_folder_that_a_group_may_write_to_is_used_by_its_members(group, loaded, package, filled, as_nobody):
    """A volume that outlives the pod: Kubernetes makes all in it writable to the pod's `fsGroup`."""
    os.chown(only_folder(filled), 0, 4242)
    only_folder(filled).chmod(0o2775)
    command = tuple(group if part == "--clear-groups" else part for part in as_nobody)
    done = start(package, filled, ASK, command)
    assert asked(done) == (20.0, 2 - 2 * loaded, loaded)
    assert ("group 4242 may write into it" in done.stderr) == (not loaded)


# The real package.


WARMED = os.environ.get("WARMED")
"""Where `make test` has run `epm warm` already, which takes minutes."""
QUICKLY = {} if WARMED else {"NUMBA_OPT": "1"}
"""Compile, and find again, code that is less optimised: what is compiled is the same."""
BUILD = {name: os.environ[name] for name in ("NUMBA_BOUNDSCHECK",) if name in os.environ}
"""Which build the tests run in: gateways inherit it, so warming must be of it too."""


def warm_up(cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return start(Path(serving.__file__).parents[1], cache, WARM, timeout=1500, **BUILD, **QUICKLY, **environment)


@pytest.fixture(scope="module")
def warmed(tmp_path_factory) -> Path:
    """A cache folder after `epm warm`."""
    cache = tmp_path_factory.mktemp("warmed")
    if WARMED:
        name = f"kernels-{fingerprint()}"
        shutil.copytree(Path(WARMED) / name, cache / name)
    done = warm_up(cache)
    assert done.returncode == 0, done.stderr
    assert "features: " in done.stdout
    assert str(only_folder(cache)) in done.stdout.splitlines()[-1]
    return cache


@pytest.mark.timeout(1800)
def test_warming_again_compiles_nothing(warmed):
    kept = files(warmed)
    done = warm_up(warmed)
    assert done.stdout.splitlines()[-1].startswith("0 compiled, ")
    assert files(warmed) == kept


@pytest.mark.timeout(1800)
def test_warming_leaves_the_compiled_listener_out_where_its_library_is_not(warmed, tmp_path):
    (tmp_path / "libnghttp2.so.14").touch()
    done = warm_up(warmed, LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("listener: ")]
    assert said.startswith("listener: left out: EPM_LISTENER: h2 needs libnghttp2.so.14")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_warming_fails_where_nothing_can_be_kept(tmp_path):
    (tmp_path / "cache").touch()
    done = warm_up(tmp_path / "cache")
    assert done.returncode == 1
    assert "compiled kernels are not kept" in done.stderr


EVERYTHING = {"cache": "local", "batching": "on", "shadow_backend": "onnxruntime", "shadow_fraction": 1.0}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "settings",
    [{}, EVERYTHING, {"listener": "h2"}, {"listener": "h2_python"}],
    ids=["defaults", "everything on", "compiled listener", "compiled listener, answers by Python"],
)
def test_after_warming_no_client_of_a_gateway_makes_it_compile(warmed, small_repository, monkeypatch, settings):
    """One row, a few (on the event loop), many (in a thread), over every protocol, for every kind of output."""
    monkeypatch.setenv("EPM_JIT_CACHE_DIR", str(warmed))
    for name, value in QUICKLY.items():
        monkeypatch.setenv(name, value)
    kept = files(warmed)
    versions = {"performance_model": MODEL_REPO / "performance_model" / "1", "small": small_repository / "small" / "2"}
    for model, version in versions.items():
        with gateway(version.parents[1], **settings) as running:
            for ask in CLIENTS.values():
                for size in (1, 7, 200):
                    ask(running, model, split(draw(version, size), size))
        assert not [line for line in running.log if "epm.jit" in line]
        assert files(warmed) == kept, model
    assert kept


@pytest.mark.timeout(1800)
def test_after_warming_scoring_a_file_compiles_nothing(warmed, tmp_path):
    kept = files(warmed)
    for model, file in (("performance_model", "employees.csv"), ("attrition_model", "months.csv")):
        month = ("--month", "month") if model == "attrition_model" else ()
        rows = MODEL_REPO.parent / "examples" / file
        options = ("--model", model, "--model-repo", MODEL_REPO, "--out", tmp_path / file, *month)
        done = epm("score", rows, *options, EPM_JIT_CACHE_DIR=str(warmed), **QUICKLY)
        assert done.returncode == 0, done.stderr
    assert files(warmed) == kept


@pytest.mark.slow
def test_the_first_start_takes_less_than_60_s_and_a_later_one_less_than_3(tmp_path, monkeypatch):
    """Each with the repository's models loaded and checked; of the later ones the best: what else runs here counts."""
    monkeypatch.setenv("EPM_JIT_CACHE_DIR", str(tmp_path))
    seconds = []
    for _ in range(6):
        begin = time.perf_counter()
        with gateway(MODEL_REPO):
            seconds.append(time.perf_counter() - begin)
    first, later = seconds[0], min(seconds[1:])
    print(f"first start {first:.1f} s, later {later:.1f} s")
    assert later < first < 60
    assert later < 3

"""Opens a journal that `lathe sweep collect --optuna` wrote with Optuna's own library, and with optuna-dashboard's server if that is installed.

    python3 check_optuna.py JOURNAL LINES        LINES: what --jsonl wrote

Not part of `make test`: Optuna is not among its packages (pip install optuna==5.0.0 optuna-dashboard)."""
import json
import sys
import urllib.request

import optuna

journal, lines = sys.argv[1], [json.loads(line) for line in open(sys.argv[2])]
optuna.logging.set_verbosity(optuna.logging.WARNING)
storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(journal))
name = optuna.get_all_study_names(storage)[0]
study = optuna.load_study(study_name=name, storage=storage)
assert len(study.trials) == len(lines)
states = {"complete": "COMPLETE", "dropped": "PRUNED", "rejected": "PRUNED", "unchanged": "FAIL", "failed": "FAIL"}
for trial, line in zip(study.trials, lines):
    trial._validate()
    assert trial.user_attrs["lathe:trial"] == line["id"] and trial.state.name == states[line["state"]], (trial, line)
    assert trial.datetime_start <= trial.datetime_complete and trial.params and trial.params.keys() == trial.distributions.keys()
    if trial.state.name == "COMPLETE":
        assert trial.values[1] == -line["difference"] or abs(trial.values[1] + line["difference"]) < 1e-12, (trial.values, line["difference"])
        assert len(trial.constraints) == len(study.user_attrs["lathe:constraints"])
feasible = [trial for trial in study.trials if trial.state.name == "COMPLETE" and all(value <= 0 for value in trial.constraints.values())]
print(f"optuna {optuna.__version__}: study '{name}', directions {[d.name for d in study.directions]}, {len(study.trials)} trials, "
      + ", ".join(f"{sum(t.state.name == s for t in study.trials)} {s}" for s in ("COMPLETE", "PRUNED", "FAIL")) + f", {len(feasible)} feasible")
print("constraints:", study.user_attrs["lathe:constraints"])
for trial in sorted(study.best_trials, key=lambda trial: trial.values)[:3]:
    print("  best:", trial.values, dict(list(trial.params.items())[:5]))
# A study goes on from here: its samplers read what was tried.
study.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=1)
proposal = study.ask({"1": next(trial for trial in study.trials if "1" in trial.params).distributions["1"]})
print("  TPE's next first step:", proposal.params["1"])
study.tell(proposal, state=optuna.trial.TrialState.FAIL)

try:
    import threading
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    import optuna_dashboard
except ImportError:
    print("optuna-dashboard is not installed")
    sys.exit()


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


server = make_server("127.0.0.1", 0, optuna_dashboard.wsgi(storage), handler_class=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
studies = json.load(urllib.request.urlopen(f"{address}/api/studies"))
detail = json.load(urllib.request.urlopen(f"{address}/api/studies/{studies['study_summaries'][0]['study_id']}?after=0"))
assert len(detail["trials"]) == len(lines) + 1
shown = [trial for trial in detail["trials"] if trial["state"] == "Complete"]
assert shown and all(len(trial["constraints"]) == len(study.user_attrs["lathe:constraints"]) for trial in shown), detail["trials"][0]
print(f"optuna-dashboard {optuna_dashboard.__version__}: {len(detail['trials'])} trials, constraints of a complete one {shown[0]['constraints']}")
server.shutdown()

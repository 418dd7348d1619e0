#!/bin/bash
# Writes Docs/Tour.md: drives the explorer in a tmux of its own and captures what it shows.
#
#   scripts/tour.sh               with .build/release/lathe (make build), or the program that LATHE_BINARY names
#
# Nothing of the user's is touched: settings, trials and logs go to a folder that is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${LATHE_BINARY:-.build/release/lathe}")
[ -x "$program" ] || { echo "tour.sh: $program is missing; run 'make build'" >&2; exit 1; }
command -v tmux > /dev/null || { echo "tour.sh: tmux is missing; run 'make setup-python'" >&2; exit 1; }
page=Docs/Tour.md
home=$(mktemp -d)
draft=$home/Tour.md
socket=lathe-tour-$$
trap 'tmux -L $socket kill-server 2> /dev/null || true; sleep 0.5; rm -rf "$home" || true' EXIT

# The commands below name the program as one who installed it does.
mkdir -p "$home/bin" "$home/config/lathe"
ln -s "$program" "$home/bin/lathe"
# Block glyphs: in many fonts of web pages braille is not as wide as a letter.
echo "glyphs: block" > "$home/config/lathe/config.yaml"
runtime=${LATHE_ONNXRUNTIME:-$(ls .deps/onnxruntime/libonnxruntime.so.* | head -n 1)}

t() { tmux -L "$socket" "$@"; }
t -f /dev/null new-session -d -x 100 -y 32 env -u NO_COLOR HOME="$home" XDG_CONFIG_HOME="$home/config" XDG_STATE_HOME="$home/state" \
    XDG_DATA_HOME="$home/share" XDG_CACHE_HOME="$home/cache" LC_ALL=C.UTF-8 PS1='$ ' PATH="$home/bin:$PATH" LATHE_ONNXRUNTIME="$(realpath "$runtime")" \
    bash --norc --noprofile -i
t set-option -g status off

# Waits until the screen shows a text (an extended regular expression).
await() {
    for _ in $(seq 1200); do
        if t capture-pane -p | grep -qE -- "$1"; then return; fi
        sleep 0.05
    done
    echo "tour.sh: waited a minute in vain for: $1" >&2
    t capture-pane -p >&2
    exit 1
}
# Waits until a text is gone: the line of messages clears itself.
await_gone() {
    for _ in $(seq 1200); do
        if ! t capture-pane -p | grep -qE -- "$1"; then return; fi
        sleep 0.05
    done
    echo "tour.sh: '$1' does not go away" >&2
    exit 1
}
keys() { for key in "$@"; do t send-keys "$key"; sleep 0.15; done; }
say() { cat >> "$draft"; echo >> "$draft"; }
screen() {
    { echo '```text'; t capture-pane -p | sed 's/[[:space:]]*$//'; echo '```'; echo; } >> "$draft"
}

say << 'TEXT'
# A first session

Every screen below was captured from the program (`scripts/tour.sh` writes this page anew; keys are in [Keys](Keys.md)). The sample is
LeNet-5, trained on Fashion-MNIST, with the 10,000 images it is judged by. `make run` opens it; installed, it is

    lathe SampleModels/lenet-5.onnx --data SampleModels/data/fashion-mnist.yaml

## What it costs now

On the left the techniques, and the parameters of the one under the cursor. On the right what the model costs now, and what it would be
like with the focused parameter at each of its values. Nothing is switched on yet, so baseline and now are the same.
TEXT
t send-keys "clear; lathe SampleModels/lenet-5.onnx --data SampleModels/data/fashion-mnist.yaml" Enter
await 'evaluated 10,000'
await '2[0-9] values'
screen

say << 'TEXT'
## Switch a technique on

`Space` sets the smaller half of the weights to zero. Sizes follow in the same frame; accuracy is run, on every image, and compared with the
baseline on the same images: the interval and the test say whether the difference is more than chance. The border warns of what surprises
most people: zeros in a dense tensor make the ONNX file no smaller. The archive, which stores what is left, shrinks.
TEXT
keys Space
await '1 on'
await ' pt '
await '✓ evaluated 10,000'
await_gone 'Magnitude pruning on$'
screen

say << 'TEXT'
## Turn it

`Tab` goes to its parameters; `←` and `→` turn them, `=` types a value. Here `=`, `0.8`, `Enter`. The curve shows where accuracy falls before one goes
there: its points fill in while the program has nothing else to do. Hollow points were run on part of the images and are estimates; the full
one is the current setting.
TEXT
keys Tab =
t send-keys -l "0.8"
keys Enter
await "0\.8 "
await '✓ evaluated 10,000'
await 'at 0\.8,'
screen

say << 'TEXT'
Now one threshold holds for the whole model. `↓` and `→` give each layer its own: worse here, because the small first convolution then loses as
large a share as the large layers that can spare it. A parameter with named choices has a line per choice instead of a curve.
TEXT
keys Down Right
await 'Scope: layer|← layer'
await '✓ evaluated 10,000'
sleep 1
await_gone 'evaluated [0-9,]+/'
screen

say << 'TEXT'
## Layer by layer

`2` opens the table of layers; `s` sorts by the next column, `S` reverses. `Space` leaves a layer out: without the first convolution, which has
few weights and feeds all other layers, most of that loss is gone. `←` and `→` turn the parameter for one layer alone: here the second
convolution, which then shows its own value. The histograms are its weights before and now; `.` and `,` read off a count.
TEXT
keys 2 '{'
keys Space
await 'left out'
keys Down
for _ in $(seq 10); do keys Left; done
await '0\.7 own'
await '✓ evaluated 10,000'
screen

say << 'TEXT'
## What was tried

`3` shows every recipe that was evaluated, in this session or an earlier one, with the Pareto front: the recipes that no other beats in both measures.
Latency stands against accuracy once it is known; `x` and `y` choose other axes, here the archive's size. The arrows go from point to point, `Enter` uses
the recipe of a point.
TEXT
keys 3
for _ in $(seq 20); do t capture-pane -p | grep -q 'Packed archive, Top-1' && break; keys x; done
await 'Packed archive, Top-1'
screen

say << 'TEXT'
## Back, and back again

`u` undoes, without limit; an edit after that opens a branch, and nothing is lost. `4` shows the tree, with the measurements of each state, and
the difference between two of them. `Enter` goes to a state.
TEXT
keys 1 u u u
await_gone '^ . undone'
keys 4
await 'states'
screen
keys C-r C-r C-r

say << 'TEXT'
## Take it away

`6` says what will be written, and the command that does the same without a screen.
TEXT
keys 6
await 'Write the files'
await '✓ evaluated 10,000'
await_gone 'redone'
screen
cat >> "$draft" << 'TEXT'
`w` writes. `5` shows the progress; the report holds the accuracy on the test split, which nothing has looked at before.

TEXT
# Written to a folder of the tour's own.
keys Enter C-u
t send-keys -l "$home/out"
mkdir "$home/out"
keys Enter w
keys 5
await 'finished in'
for _ in $(seq 600); do [ -f "$home/out/lenet-5-compressed.report.md" ] && break; sleep 0.1; done
keys q
await '^\$ *$'
{
    echo '```text'
    echo '$ ls -l'
    (cd "$home/out" && ls -l --time-style=+ | awk 'NR > 1 { printf "%9d  %s\n", $5, $6 }')
    echo '$ cat lenet-5-compressed.recipe.yaml'
    cat "$home/out/lenet-5-compressed.recipe.yaml"
    echo '```'
    echo
} >> "$draft"
say << 'TEXT'
Keep the recipe: `lathe apply` makes the same bytes from it again, on any machine, and `lathe replay` repeats a whole session from its log.
TEXT

mv "$draft" "$page"
echo "written: $page"

# What the Perl shims share: the facts of the node they run on. perl-base only; no module beyond it.
use strict;
use warnings;
no warnings 'once';

our $NODE = $ENV{LAB_NODE} // die "not on a node\n";
our $DISKS = "$NODE/disks";

sub slurp { my ($file) = @_; open(my $in, '<', $file) or return ''; local $/; my $text = <$in>; return $text // ''; }

sub pairs { my ($file) = @_; return map { /^([A-Za-z_0-9]+)=(.*)$/ ? ($1 => $2) : () } split /\n/, slurp($file); }

sub facts { my %f = pairs("$NODE/hw/facts"); return \%f; }

sub faults { my %f = pairs("$NODE/hw/faults"); return \%f; }

sub rows {
    my ($file, @names) = @_;
    my @rows;
    for my $line (split /\n/, slurp($file)) {
        my %row;
        @row{@names} = split /\t/, $line, -1;
        push @rows, \%row;
    }
    return @rows;
}

sub drives { return rows("$NODE/hw/drives", qw(name serial model size tran)); }

# The drive a device path means: the namespace or, for NVMe, its controller.
sub drive_of {
    my ($path) = @_;
    $path =~ s{^\Q$DISKS\E/}{} or return undef;
    for my $drive (drives()) {
        (my $controller = $drive->{name}) =~ s/n\d+$//;
        return $drive if $path eq $drive->{name} || ($drive->{tran} eq 'nvme' && $path eq $controller);
    }
    return undef;
}

# The drive's content is gone: sparse again, no partitions, no installed system.
sub drop_content {
    my ($name, $size) = @_;
    my $path = "$DISKS/$name";
    open(my $disk, '+<', $path) or return 0;
    truncate($disk, 0) && truncate($disk, $size) or return 0;
    close $disk;
    drop_partitions($name);
    system('rm', '-rf', '--', "$path.d") if -e "$path.d";
    return 1;
}

sub drop_partitions {
    my ($name) = @_;
    opendir(my $dir, $DISKS) or return;
    unlink map { "$DISKS/$_" } grep { /^\Q$name\E(p?\d+|\.gpt)$/ } readdir $dir;
    return;
}

# Partition table beside the disk: number, first sector, last sector, type, name.
sub partitions { my ($name) = @_; return rows("$DISKS/$name.gpt", qw(number first last code label)); }

sub image_header { my ($name) = @_; open(my $in, '<', "$DISKS/$name") or return ''; read($in, my $head, 15); return $head // ''; }

sub partition_path { my ($name, $number) = @_; return "$DISKS/$name" . ($name =~ /\d$/ ? 'p' : '') . $number; }

sub quote { my ($text) = @_; $text =~ s/(["\\])/\\$1/g; $text =~ s/([\x00-\x1f])/sprintf '\\u%04x', ord $1/ge; return "\"$text\""; }

1;
